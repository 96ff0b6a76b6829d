"""Training batches depend on (seed, step) alone; evaluation gives every readable image once."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import rand_augment_transform

from vitscope.data import (
    TrainingBatches,
    as_source,
    evaluation_batches,
    evaluation_transform,
    moco_v3_views,
    open_source,
    simmim_view,
    skipped_summary,
)
from vitscope.data.in_memory import TensorSource
from vitscope.data.watching import watched_by

SIZE, NUM_IMAGES, BATCH = 16, 29, 7  # four full batches and one image left over


def images(number: int = NUM_IMAGES, size: int = SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (number, 3, size, size), dtype=torch.uint8, generator=generator)


def views() -> dict:
    first, second = moco_v3_views(SIZE)
    return {"view_1": first, "view_2": second, "masked": simmim_view(SIZE)}


def batches(seed: int = 3, num_workers: int = 0, chosen: dict | None = None) -> TrainingBatches:
    return TrainingBatches(as_source(images()), chosen or views(), BATCH, seed, num_workers)


def assert_same(one: list[dict], other: list[dict]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


def global_states() -> tuple:
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), numpy_state


@pytest.fixture
def folder_with_two_corrupt_images(tmp_path):
    for number in range(9):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no image")
    whole = (tmp_path / "8.png").read_bytes()
    (tmp_path / "8.png").write_bytes(whole[: len(whole) // 2])
    return open_source(f"folder:{tmp_path}")


# Training ----------------------------------------------------------------------------------------
def test_batches_are_the_same_for_any_number_of_workers():
    assert_same(
        list(batches(num_workers=0).iterate(0, 6)), list(batches(num_workers=2).iterate(0, 6))
    )


def test_batches_are_the_same_after_a_restart_at_any_step():
    whole = list(batches().iterate(0, 10))  # two and a half epochs
    for start in (1, 4, 9):
        assert_same(whole[start:], list(batches().iterate(start, 10)))


def test_without_a_last_step_batches_never_end():
    endless = batches().iterate(2)
    assert_same([next(endless), next(endless)], list(batches().iterate(2, 4)))


def test_the_global_generators_neither_matter_nor_move():
    first = list(batches().iterate(0, 2))
    torch.manual_seed(99)
    before = global_states()
    again = list(batches().iterate(0, 2))
    assert global_states() == before
    assert_same(first, again)


def test_a_view_does_not_depend_on_which_other_views_are_made():
    alone = next(batches(chosen={"masked": simmim_view(SIZE)}).iterate())
    together = next(batches().iterate())
    assert torch.equal(alone["masked"], together["masked"])


def test_two_views_with_the_same_transform_differ():
    view = simmim_view(SIZE)
    batch = next(batches(chosen={"one": view, "two": view}).iterate())
    assert not torch.equal(batch["one"], batch["two"])


def test_an_epoch_shows_each_image_at_most_once_and_drops_the_incomplete_batch():
    loader = batches()
    assert loader.steps_per_epoch == 4
    orders = []
    for epoch in range(3):
        steps = loader.iterate(4 * epoch, 4 * epoch + 4)
        orders.append(torch.cat([batch["index"] for batch in steps]))
        assert len(orders[-1]) == 28 == len(orders[-1].unique())
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[1], orders[2])


def test_over_many_epochs_every_image_is_shown_equally_often():
    loader = TrainingBatches(
        as_source(images(5, 1)), {"all": evaluation_transform(1)}, 4, num_workers=0
    )
    shown = torch.cat([batch["index"] for batch in loader.iterate(0, 400)]).bincount()
    # Left out once in five epochs: 320 of 400 times, standard deviation 8.
    assert (shown - 320).abs().max() <= 32


def test_the_seed_changes_order_and_augmentation():
    one, other = next(batches(seed=0).iterate()), next(batches(seed=1).iterate())
    assert not torch.equal(one["index"], other["index"])
    view = {"view": simmim_view(SIZE)}
    same = TensorSource(images(1).repeat(7, 1, 1, 1))
    zero, one = (next(TrainingBatches(same, view, 7, seed).iterate())["view"] for seed in (0, 1))
    assert not torch.equal(zero.sort(0).values, one.sort(0).values)
    assert len(zero.unique(dim=0)) == 7  # and each image has its own


def test_an_image_is_augmented_anew_in_each_epoch():
    source = as_source(images(1))
    loader = TrainingBatches(source, {"view": simmim_view(SIZE)}, batch_size=1)
    first, second = loader.iterate(0, 2)
    assert not torch.equal(first["view"], second["view"])


def test_batches_hold_the_views_of_the_images_that_index_names():
    source = as_source(images())
    transform = evaluation_transform(SIZE)
    batch = next(TrainingBatches(source, {"plain": transform}, BATCH).iterate())
    assert batch["plain"].shape == (BATCH, 3, SIZE, SIZE)
    assert batch["plain"].dtype == torch.float32
    for view, index in zip(batch["plain"], batch["index"], strict=True):
        assert torch.equal(view, transform(source[int(index)].image))


def test_transforms_that_draw_from_python_and_numpy_are_reproducible_too():
    augment = rand_augment_transform("rand-m9-mstd0.5-inc1", {})
    plain = evaluation_transform(SIZE)

    def view(image):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        return plain(augment(picture)) + float(np.random.rand())  # noqa: NPY002

    one = list(batches(chosen={"view": view}).iterate(0, 3))
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert_same(one, list(batches(chosen={"view": view}).iterate(0, 3)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_unreadable_image_is_replaced_by_the_next_and_named(
    folder_with_two_corrupt_images, num_workers
):
    source = folder_with_two_corrupt_images
    transform = evaluation_transform(20, (0, 0, 0), (1 / 255, 1 / 255, 1 / 255))
    loader = TrainingBatches(source, {"plain": transform}, 9, num_workers=num_workers)
    batch = next(loader.iterate(0, 1))
    assert sorted(batch["index"].tolist()) == [0, 0, 1, 2, 4, 4, 5, 6, 7]  # 8 wraps to 0
    assert torch.equal(batch["plain"][:, 0, 5, 5].round().long(), batch["index"])
    assert sorted(name for name, _ in source.skipped) == ["3.png", "8.png"]
    list(loader.iterate(0, 2))
    assert len(source.skipped) == 2  # named once


def test_if_no_image_is_readable_training_says_so(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    source = open_source(f"folder:{tmp_path}")
    with pytest.raises(ValueError, match="none of the 1 images"):
        next(TrainingBatches(source, {"view": simmim_view(8)}, 1).iterate())


def test_fewer_images_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="batch_size = 30"):
        TrainingBatches(as_source(images()), views(), 30)


@pytest.mark.parametrize("names", [[], ["index"]])
def test_views_need_names_other_than_index(names):
    with pytest.raises(ValueError, match="index"):
        TrainingBatches(as_source(images()), {name: simmim_view(8) for name in names}, 2)


# Evaluation --------------------------------------------------------------------------------------
@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_gives_every_image_once_and_in_order(num_workers):
    labels = np.arange(NUM_IMAGES) % 5
    source = TensorSource(images(), labels=labels)
    transform = evaluation_transform(SIZE)
    found = list(evaluation_batches(source, transform, BATCH, num_workers))
    assert [len(batch.images) for batch in found] == [7, 7, 7, 7, 1]
    assert torch.cat([batch.index for batch in found]).tolist() == list(range(NUM_IMAGES))
    assert torch.cat([batch.labels for batch in found]).tolist() == labels.tolist()
    expected = torch.stack([transform(image) for image in images()])
    assert torch.equal(torch.cat([batch.images for batch in found]), expected)


def test_evaluation_stops_at_the_limit_and_unlabelled_images_have_no_labels():
    found = list(evaluation_batches(as_source(images()), evaluation_transform(SIZE), BATCH, 0, 9))
    assert [batch.index.tolist() for batch in found] == [[0, 1, 2, 3, 4, 5, 6], [7, 8]]
    assert all(batch.labels is None for batch in found)


def test_evaluation_leaves_the_global_generators_alone():
    before = global_states()
    list(evaluation_batches(as_source(images()), evaluation_transform(SIZE), BATCH))
    assert global_states() == before


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_skips_unreadable_images_and_goes_on(
    folder_with_two_corrupt_images, num_workers
):
    source = folder_with_two_corrupt_images
    found = list(evaluation_batches(source, evaluation_transform(20), 4, num_workers))
    assert [batch.index.tolist() for batch in found] == [[0, 1, 2], [4, 5, 6, 7]]
    assert [name for name, _ in source.skipped] == ["3.png", "8.png"]
    assert "skipped 2 of 9 images that cannot be decoded: 3.png (" in skipped_summary(source)


def test_whoever_watches_is_told_of_every_batch():
    seen = []
    source = as_source(torch.rand(5, 3, 32, 32))
    with watched_by(lambda *told: seen.append(told)):
        list(evaluation_batches(source, evaluation_transform(32), 2))
    assert seen == [("tensor", done, 3) for done in range(4)]
    list(evaluation_batches(source, evaluation_transform(32), 2))
    assert len(seen) == 4
