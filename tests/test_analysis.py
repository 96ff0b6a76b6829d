import copy

import numpy as np
import pandas as pd
import pytest
import torch

import vitscope as vs
from vitscope.analysis import RESERVED_NAMES, attention_values
from vitscope.axes import PatchGrid
from vitscope.bootstrap import NUM_REPLICATES
from vitscope.data.loader import evaluation_batches
from vitscope.data.sources import as_source
from vitscope.data.transforms import evaluation_transform
from vitscope.measures import MEASURES, attention_distance, normalized_mutual_information
from vitscope.measures.attention_sums import smoothed
from vitscope.reporting.style import BASELINES
from vitscope.table import concat
from vitscope.tracing import CapturedAttention, trace

SPEC = "random:vit?image_size=40&patch_size=8&embed_dim=24&depth=2&num_heads=3"
IMAGES = torch.rand(7, 3, 40, 40, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def backbone():
    return vs.load(SPEC)


@pytest.fixture(scope="module")
def table(backbone):
    return vs.measure(backbone, IMAGES, mode=("canonical", "paper"))


def value(table, **columns):
    return table.select(**columns).frame["value"].to_numpy(dtype=np.float64)


def whole_attention(backbone, layer):
    transform = evaluation_transform(backbone.image_size, backbone.mean, backbone.std)
    (batch,) = evaluation_batches(as_source(IMAGES), transform, 7)
    captured = trace(backbone, batch.images, ("attention",)).attention[layer]
    prefix = backbone.num_prefix_tokens
    return torch.cat([rows for _, rows in captured.patch_rows(prefix)], dim=2)


def test_every_measure_has_a_row_for_each_layer_image_and_head(table):
    for declared in MEASURES:
        rows = table.select(measure=declared.name, variant="canonical")
        first = 0 if declared.reads == "tokens" else 1
        assert set(rows.frame["layer"].dropna()) == set(range(first, 3)), declared.name
        if declared.reads == "attention":
            assert len(rows) == 7 * 3 * 2
            assert set(rows.frame["head"]) == {0, 1, 2}
        assert set(rows.frame["unit"]) == {declared.unit}


def test_values_are_those_of_the_pure_functions(table, backbone):
    attention = whole_attention(backbone, 2)
    rows = {"layer": 2, "site": "attention"}
    np.testing.assert_allclose(
        value(table, measure="attention_distance", variant="canonical", **rows),
        attention_distance(attention, backbone.grid).flatten(),
        rtol=1e-5,
    )


def test_the_paper_mode_smooths_before_it_renormalises():
    """A head that attends to CLS almost alone; what is left is 1e-7 of its attention."""
    query, key = torch.randn(2, 1, 1, 26, 4)
    bias = torch.zeros(1, 1, 26, 26)
    bias[..., 0] = 20.0
    captured = CapturedAttention(query=query, key=key, value=key, bias=bias, scale=1.0)
    weights = (query @ key.mT + bias).softmax(-1)[..., 1:, 1:]  # as the notebook drops CLS
    nmi = [entry for entry in MEASURES if entry.name == "normalized_mutual_information"]
    values = attention_values(captured, 1, PatchGrid(5, 5), nmi, ("canonical", "paper"))
    expected = normalized_mutual_information(smoothed(weights, 1e-8), PatchGrid(5, 5))
    torch.testing.assert_close(values["normalized_mutual_information", "paper"], expected)
    difference = values["normalized_mutual_information", "canonical"] - expected
    assert difference.abs().item() > 0.01


def test_the_batch_size_changes_nothing(table, backbone):
    other = vs.measure(backbone, IMAGES, mode=("canonical", "paper"), batch_size=3)
    keys = ["measure", "variant", "site", "layer", "head", "image", "coordinate", "replicate"]
    first, second = (
        entry.frame.sort_values(keys).reset_index(drop=True) for entry in (table, other)
    )
    pd.testing.assert_frame_equal(first, second, rtol=1e-4, atol=1e-5)


def test_the_order_of_the_images_changes_no_mean(table, backbone):
    other = vs.measure(backbone, IMAGES.flip(0))
    for declared in MEASURES:
        mean = value(table, measure=declared.name, variant="canonical", replicate=None).mean()
        assert value(
            other, measure=declared.name, variant="canonical", replicate=None
        ).mean() == pytest.approx(mean, rel=1e-4, abs=1e-5)


def test_spectra_come_as_mean_and_replicates_of_the_same_resamples(table, backbone):
    rows = table.select(measure="fourier_spectrum", variant="canonical", site="tokens", layer=2)
    assert rows.frame["replicate"].isna().sum() == rows.frame["coordinate"].nunique()
    resampled = rows.frame["replicate"].nunique()
    assert NUM_REPLICATES - 2 <= resampled <= NUM_REPLICATES  # a resample may be empty
    again = vs.measure(backbone, IMAGES, measures=["fourier_spectrum"], layers=[2])
    np.testing.assert_allclose(
        value(again, site="tokens", replicate=17), value(rows, replicate=17), atol=1e-6
    )


def test_layers_and_measures_can_be_chosen(backbone):
    table = vs.measure(backbone, IMAGES, measures=["token_similarity"], layers=[0, 2])
    assert set(table.frame["measure"]) == {"token_similarity"}
    assert set(table.frame["layer"]) == {0, 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measures": ["atention_distance"]}, "no measure atention_distance; there are"),
        ({"layers": [3]}, r"layers 0 to 2: .*got \[3\]"),
        ({"mode": "papier"}, "mode from canonical, paper, got .papier"),
    ],
)
def test_what_does_not_exist_is_refused(backbone, arguments, message):
    with pytest.raises(ValueError, match=message):
        vs.measure(backbone, IMAGES, **arguments)


def test_a_model_that_fails_the_self_check_is_not_measured(backbone):
    import copy
    import dataclasses

    module = copy.deepcopy(backbone.module)
    plain = module.blocks[1].attn.forward
    module.blocks[1].attn.forward = lambda x, **rest: 0.5 * plain(x, **rest)  # a gate
    gated = dataclasses.replace(backbone, module=module, blocks=tuple(module.blocks))
    with pytest.raises(ValueError, match="2"):
        vs.measure(gated, IMAGES)


def test_compare_pairs_models_on_the_same_images_and_adds_pictures():
    table = vs.compare({"one": SPEC, "two": f"{SPEC}&seed=1"}, IMAGES)
    assert set(table.frame["model"].dropna()) == {"one", "two", "uniform attention"}
    images = {
        name: set(table.select(model=name).frame["image"].dropna()) for name in ("one", "two")
    }
    assert images["one"] == images["two"] == set(range(7))
    assert set(table.notes["models"]) == {"one", "two"}
    (first, second) = table.exhibits
    assert first.arrays["maps"].shape == (4, 2, 2, 5, 5)
    np.testing.assert_allclose(first.arrays["maps"].sum((-1, -2)), 1, atol=5e-3)
    np.testing.assert_array_equal(first.arrays["images"], second.arrays["images"])
    pixels = (IMAGES[:4] * 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(first.arrays["images"] - pixels).max() <= 1


def test_models_of_one_image_can_be_joined_into_one_table(backbone):
    table = concat([vs.measure(backbone, IMAGES[:1]), vs.measure(backbone, IMAGES[:1])])
    summary = table.select(measure="row_entropy").summary(("measure", "layer"))
    assert summary["mean"].between(0, 1).all()


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float64])
def test_a_module_of_another_precision_is_given_images_of_its_own(backbone, precision):
    module = copy.deepcopy(backbone.module).to(precision)
    exact = vs.measure(backbone, IMAGES, "attention_distance").summary(("layer",))
    rounded = vs.measure(module, IMAGES, "attention_distance").summary(("layer",))
    np.testing.assert_allclose(rounded["mean"], exact["mean"], rtol=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 1}, "layers 0 to"),
        ({"layers": [1.5]}, "layers 0 to"),
        ({"layers": []}, "layers 0 to"),
        ({"measures": []}, "one or more measures"),
        ({"mode": []}, "expected mode from"),
    ],
)
def test_what_is_no_choice_is_refused(backbone, arguments, message):
    with pytest.raises(ValueError, match=message):
        vs.measure(backbone, IMAGES, **arguments)


def test_models_of_other_channels_are_refused():
    module = vs.load(
        "random:vit?image_size=32&patch_size=8&embed_dim=16&depth=1&num_heads=2"
    ).module
    module.patch_embed.proj = torch.nn.Conv2d(1, 24, 8, 8)
    with pytest.raises(ValueError, match="takes images of 1 channels, got 3"):
        vs.measure(module, IMAGES)


def test_the_reserved_names_are_those_of_the_report_s_baselines():
    assert set(RESERVED_NAMES) == set(BASELINES)
