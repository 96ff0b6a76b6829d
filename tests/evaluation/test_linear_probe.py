import pytest
import torch
from torch.utils.data import TensorDataset

import vitscope as vs
from vitscope.data.sources import as_source
from vitscope.evaluation.evaluate import test_spec as spec_of_test_images
from vitscope.evaluation.linear_probe import linear_probe, pixel_probe

SPEC = "random:vit?image_size=32&patch_size=8&embed_dim=24&depth=2&num_heads=3"


class Labelled(TensorDataset):
    """Images of one colour per class, in noise."""

    def __init__(self, num_images, num_classes=3, seed=0, shuffle_labels=False):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(num_images) % num_classes
        colours = torch.rand(num_classes, 3, generator=torch.Generator().manual_seed(7))
        noise = 0.2 * torch.rand(num_images, 3, 32, 32, generator=generator)
        images = (0.8 * colours[labels][:, :, None, None] + noise).clamp(0, 1)
        if shuffle_labels:
            labels = labels[torch.randperm(num_images, generator=generator)]
        super().__init__(images, labels)
        self.classes = [f"class {number}" for number in range(num_classes)]


def accuracy(table, **columns):
    return table.select(**columns).frame["value"].mean()


def test_what_is_linearly_there_is_found_at_every_depth_and_pooling():
    table = vs.evaluate(SPEC, Labelled(90), Labelled(30, seed=1))
    summary = table.summary(by=("variant", "layer"))
    assert set(summary["variant"]) == {"ridge, mean", "ridge, cls", "ridge, cls+mean"}
    assert set(summary["layer"]) == {0, 1, 2}
    assert accuracy(table, variant="ridge, mean", layer=2) == 1.0
    # CLS at the embedding has seen nothing of the image.
    assert accuracy(table, variant="ridge, cls", layer=0) <= 0.5
    assert set(table.frame["image"]) == set(range(30))


def test_labels_that_mean_nothing_give_chance():
    train = Labelled(300, shuffle_labels=True)
    test = Labelled(300, seed=1, shuffle_labels=True)
    table = vs.evaluate(SPEC, train, test)
    assert accuracy(table, variant="ridge, cls+mean") == pytest.approx(1 / 3, abs=0.09)


def test_the_batch_size_changes_nothing():
    results = [
        vs.evaluate(SPEC, Labelled(50), Labelled(31, seed=1), batch_size=size).frame["value"].mean()
        for size in (7, 50)
    ]
    assert results[0] == results[1]


def test_layers_can_be_chosen_and_wrong_ones_are_refused():
    table = vs.evaluate(SPEC, Labelled(30), Labelled(30, seed=1), layers=[2])
    assert set(table.frame["layer"]) == {2}
    with pytest.raises(ValueError, match=r"layers 0 to 2: .*got \[3\]"):
        vs.evaluate(SPEC, Labelled(30), Labelled(30, seed=1), layers=[3])


def test_raw_pixels_are_probed_by_the_same_protocol():
    table = pixel_probe(vs.load(SPEC), as_source(Labelled(90)), as_source(Labelled(30, seed=1)))
    assert set(table.frame["model"]) == {"raw pixels"}
    assert table.frame["layer"].isna().all()
    assert table.frame["value"].mean() == 1.0


def test_features_are_the_same_while_fitting_and_scoring():
    """A model in training mode (stochastic depth) must not be read as such."""
    backbone = vs.load(SPEC)
    backbone.module.train()
    tables = [
        linear_probe(backbone, as_source(Labelled(50)), as_source(Labelled(31, seed=1)))
        for _ in range(2)
    ]
    assert tables[0].frame.equals(tables[1].frame)
    assert backbone.module.training


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (torch.rand(9, 3, 32, 32), Labelled(9), "train images .* have none"),
        (Labelled(9), torch.rand(9, 3, 32, 32), "test images .* have none"),
        (Labelled(9), Labelled(9, num_classes=2), "same classes"),
        (Labelled(9, num_classes=1), Labelled(9, num_classes=1), "at least two classes"),
    ],
)
def test_labels_that_do_not_fit_are_refused(train, test, message):
    with pytest.raises(ValueError, match=message):
        vs.evaluate(SPEC, train, test)


def test_test_images_follow_from_the_training_spec_where_there_is_a_rule():
    assert spec_of_test_images("cifar10:data?split=train") == "cifar10:data?split=test"
    assert spec_of_test_images("world:conflict?seed=3") == "world:conflict?seed=4&num_images=2000"
    with pytest.raises(ValueError, match="no rule"):
        spec_of_test_images("folder:pictures")


def test_notes_tell_how_to_open_the_data_again():
    train, test = (f"world:independent?size=32&num_images=24&seed={seed}&limit=20" for seed in "01")
    table = vs.evaluate(SPEC, train, test)
    ((name, facts),) = table.notes["data"].items()
    assert (facts["num_images"], facts["spec"]) == (20, test)
    assert table.notes[f"probe {table.frame['model'].iloc[0]} on {name}"]["train"] == train


def test_labels_without_names_are_counted():
    images, labels = torch.rand(24, 3, 32, 32), torch.arange(24) % 3
    train, test = TensorDataset(images[:16], labels[:16]), TensorDataset(images[16:], labels[16:])
    table = vs.evaluate(SPEC, train, test)
    (settings,) = (note for name, note in table.notes.items() if name.startswith("probe "))
    assert settings["num_classes"] == 3
    with pytest.raises(ValueError, match="expected other images to score a probe on"):
        vs.evaluate(SPEC, train, train)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_another_precision_are_given_images_of_theirs(precision):
    backbone = vs.load(SPEC)
    backbone.module.to(precision)
    assert len(vs.evaluate(backbone, Labelled(12), Labelled(9))) > 0
