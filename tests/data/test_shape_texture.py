"""The bundled world: the same everywhere, labels that say what is drawn, and nothing else."""

import numpy as np
import pytest

from vitscope.data.shape_texture import ABSENT, SHAPES, SPLITS, TEXTURES, ShapeTexture

MANY = np.arange(8000)
FEW = np.arange(48)


def information(first, second):
    """Mutual information in bits of two integer arrays, less its expectation under independence."""
    joint = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(joint, (first, second), 1)
    joint /= joint.sum()
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    plug_in = (joint[seen] * np.log2(joint[seen] / product[seen])).sum()
    freedom = (joint.shape[0] - 1) * (joint.shape[1] - 1)
    return plug_in - freedom / (2 * len(first) * np.log(2))  # Miller (1955)


def eighths(values):
    """Number of the octile of each value."""
    return np.searchsorted(np.quantile(values, np.arange(1, 8) / 8), values)


# The same image everywhere -----------------------------------------------------------------------
@pytest.mark.parametrize("split", SPLITS)
def test_image_does_not_depend_on_its_batch(split):
    world = ShapeTexture(split=split)
    whole = world.render(FEW)
    order = np.random.default_rng(0).permutation(FEW)
    for part in (order[:5], order[5:]):
        again = world.render(part)
        for name in ("shape", "texture", "box", "mask"):
            np.testing.assert_array_equal(getattr(again, name), getattr(whole, name)[part])
        # Vectorised float32 cosines may differ in their last bit with the place in the batch.
        assert np.abs(again.image.astype(int) - whole.image[part]).max() <= 1
    sample = world[7]
    assert (sample.shape, sample.texture) == (whole.shape[7], whole.texture[7])
    np.testing.assert_array_equal(sample.mask, whole.mask[7])
    np.testing.assert_array_equal(sample.box, whole.box[7])


def test_large_batch_is_drawn_in_chunks_without_a_seam():
    world = ShapeTexture(size=224)  # 10 images are drawn at once
    whole = world.render(np.arange(12))
    assert np.abs(whole.image[9:12].astype(int) - world.render([9, 10, 11]).image).max() <= 1


def test_image_does_not_depend_on_num_images():
    short, long = ShapeTexture(num_images=48), ShapeTexture(num_images=10**6)
    np.testing.assert_array_equal(short.render(FEW).image, long.render(FEW).image)


def test_seed_draws_other_images():
    train, test = ShapeTexture(seed=0), ShapeTexture(seed=1)
    assert information(train.labels(MANY)["shape"], test.labels(MANY)["shape"]) < 0.01
    assert not np.array_equal(train.render([0]).image, test.render([0]).image)


def test_labels_and_parameters_are_the_stored_ones():
    world = ShapeTexture()
    labels = world.labels(np.arange(8))
    assert labels["shape"].tolist() == [7, 6, 0, 2, 7, 2, 7, 6]
    assert labels["texture"].tolist() == [6, 1, 0, 2, 3, 3, 1, 1]
    drawn = world.parameters([7999])
    assert drawn["scale"].tolist() == [0.4225630724846061]
    assert drawn["position"].tolist() == [[0.3896285943555138, 0.5440503371175219]]
    assert drawn["texture_period"].tolist() == [0.11329395111071175]
    tones = [[0.030132765, 0.143417771, 0.132862743], [0.95323421, 0.848878347, 0.972787702]]
    np.testing.assert_allclose(drawn["tones"][0], tones, atol=1e-8)


STORED_MEANS = {
    "independent": [110.279, 96.913, 92.224],
    "aligned": [110.933, 97.627, 92.224],
    "conflict": [110.552, 96.312, 92.232],
    "silhouette": [123.359, 113.365, 112.899],
    "texture_only": [129.050, 120.796, 115.510],
}


@pytest.mark.parametrize("split", SPLITS)
def test_images_have_the_stored_mean_grey_and_boxes(split):
    batch = ShapeTexture(split=split).render(np.arange(3))
    np.testing.assert_allclose(batch.image.mean((1, 2, 3)), STORED_MEANS[split], atol=1)
    box = [22.373682, 19.180112, 55.597973, 50.738273]
    assert batch.box[0].tolist() == ([0, 0, 64, 64] if split == "texture_only" else box)


@pytest.mark.parametrize("small, large", [(32, 64), (64, 128)])
def test_other_size_shows_the_same_scene(small, large):
    coarse, fine = (ShapeTexture(size=size).render(FEW) for size in (small, large))
    halved = fine.image.reshape(len(FEW), 3, small, 2, small, 2).mean((3, 5))
    for first, second in zip(coarse.image, halved, strict=True):
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.95
    np.testing.assert_allclose(2 * coarse.box, fine.box, atol=3e-6)


# Labels and splits -------------------------------------------------------------------------------
@pytest.mark.parametrize("split", SPLITS)
def test_shown_labels_are_uniform(split):
    for name, labels in ShapeTexture(split=split).labels(MANY).items():
        if (name, split) in (("texture", "silhouette"), ("shape", "texture_only")):
            assert (labels == ABSENT).all()
        else:
            # Standard error of a share of 1/8 among 8,000: 0.0037.
            assert np.bincount(labels, minlength=8) / 8000 == pytest.approx(1 / 8, abs=0.015)


def test_splits_pair_the_labels_as_they_say():
    pairs = {s: ShapeTexture(split=s).labels(MANY) for s in ("independent", "aligned", "conflict")}
    assert information(*pairs["independent"].values()) < 0.01
    assert (pairs["aligned"]["shape"] == pairs["aligned"]["texture"]).all()
    step = (pairs["conflict"]["texture"] - pairs["conflict"]["shape"]) % 8
    shares = np.bincount(step, minlength=8) / 8000
    assert shares[0] == 0 and shares[1:] == pytest.approx(1 / 7, abs=0.015)


def test_splits_share_shape_placement_and_colours():
    independent, conflict = (ShapeTexture(split=s).render(FEW) for s in ("independent", "conflict"))
    np.testing.assert_array_equal(independent.mask, conflict.mask)
    np.testing.assert_array_equal(independent.box, conflict.box)
    near = independent.mask
    for _ in range(3):  # the softened edge shows the texture; at sharp tips it reaches furthest
        near = _grown(near)
    first, second = (batch.image.transpose(0, 2, 3, 1)[~near] for batch in (independent, conflict))
    np.testing.assert_array_equal(first, second)


def _grown(mask):
    """Masks grown by one pixel in eight directions."""
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    size = mask.shape[-1]
    return np.any([padded[:, i : i + size, j : j + size] for i in range(3) for j in range(3)], 0)


def test_silhouette_has_one_tone_and_texture_only_fills_the_frame():
    silhouette = ShapeTexture(split="silhouette").render(FEW)
    inner = ~_grown(~silhouette.mask)
    for image, mask in zip(silhouette.image, inner, strict=True):
        assert np.ptp(image[:, mask], axis=1).max() <= 1
    texture = ShapeTexture(split="texture_only").render(FEW)
    assert texture.mask.all()
    for corner in (texture.image[..., :16, :16], texture.image[..., 48:, 48:]):
        assert (corner.std((2, 3)).max(1) > 25).all()  # both tones reach every corner


def test_labels_say_nothing_about_anything_else():
    drawn = ShapeTexture().parameters(MANY)
    labels = {name: drawn.pop(name) for name in ("shape", "texture")}
    for name, values in drawn.items():
        for column in values.reshape(len(MANY), -1).T:
            for label in labels.values():
                assert information(label, eighths(column)) < 0.01, name


def test_average_colour_says_nothing_about_the_labels():
    batch = ShapeTexture(size=32).render(MANY[:4000])
    for plane in batch.image.transpose(1, 0, 2, 3):
        on = (plane * batch.mask).sum((1, 2)) / batch.mask.sum((1, 2))
        off = (plane * ~batch.mask).sum((1, 2)) / (~batch.mask).sum((1, 2))
        for mean in (on, off, plane.mean((1, 2))):
            for label in (batch.shape, batch.texture):
                assert information(label, eighths(mean)) < 0.01


# What is drawn -----------------------------------------------------------------------------------
def test_mask_agrees_with_box_and_area():
    world = ShapeTexture(num_shapes=len(SHAPES), num_textures=len(TEXTURES), size=128)
    batch = world.render(np.arange(60))
    assert set(batch.shape) == set(range(len(SHAPES)))
    assert batch.box.min() >= 0 and batch.box.max() <= 128
    for mask, box in zip(batch.mask, batch.box, strict=True):
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        # The tips of stars and triangles are thinner than a pixel before their last few pixels.
        assert np.abs(box - seen).max() < 4
        assert (box[:2] - 0.5 <= seen[:2]).all() and (seen[2:] <= box[2:] + 0.5).all()
    scale = world.parameters(np.arange(60))["scale"]
    np.testing.assert_allclose(batch.mask.mean((1, 2)), scale**2, rtol=0.02)


def test_tones_stand_apart_from_each_other_and_from_the_background():
    drawn = ShapeTexture().parameters(MANY)
    luma = drawn["tones"] @ [0.299, 0.587, 0.114]
    ground = drawn["background_colour"] @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(ground, drawn["background_level"], atol=1e-12)
    assert np.abs(luma[:, 0] - luma[:, 1]).min() >= 0.48 - 1e-9
    assert np.abs(luma - ground[:, None]).min() >= 0.08 - 1e-9
    for colours in (drawn["tones"], drawn["background_colour"]):
        assert colours.min() >= 0 and colours.max() <= 1


# Names, types and errors -------------------------------------------------------------------------
def test_batch_has_the_promised_shapes_and_types():
    for indices in ([], [3], [5, 1]):
        batch, n = ShapeTexture(size=33).render(indices), len(indices)
        assert (batch.image.shape, batch.image.dtype) == ((n, 3, 33, 33), np.uint8)
        assert (batch.mask.shape, batch.mask.dtype) == ((n, 33, 33), np.bool_)
        assert (batch.box.shape, batch.box.dtype) == ((n, 4), np.float64)
        assert batch.shape.dtype == batch.texture.dtype == np.int64


def test_class_names_are_those_of_the_label():
    assert ShapeTexture().class_names == SHAPES[:8]
    assert ShapeTexture(label="texture", num_textures=3).class_names == TEXTURES[:3]
    assert len(ShapeTexture(num_images=5)) == 5


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({"split": "test"}, "split: expected one of"),
        ({"label": "colour"}, "label: expected"),
        ({"size": 31}, "size: expected 32 to 224 pixels, got 31"),
        ({"size": 225}, "size: expected 32 to 224 pixels, got 225"),
        ({"num_images": -1}, "num_images: expected 0 or more"),
        ({"seed": -1}, "seed: expected"),
        ({"num_shapes": len(SHAPES) + 1}, "num_shapes: expected 2 to"),
        ({"num_textures": 1}, "num_textures: expected 2 to"),
        ({"split": "aligned", "num_textures": 7}, r"num_textures: expected num_shapes \(8\)"),
        ({"split": "conflict", "num_shapes": 7}, r"num_textures: expected num_shapes \(7\)"),
    ],
)
def test_wrong_argument_is_named(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        ShapeTexture(**arguments)


@pytest.mark.parametrize("index", [-1, 10])
def test_index_out_of_range_is_an_index_error(index):
    world = ShapeTexture(num_images=10)
    for call in (world.labels, world.parameters, world.render, world.boxes):
        with pytest.raises(IndexError, match=f"index {index}: expected 0 to 9"):
            call([0, index])
    with pytest.raises(IndexError):
        world[index]


@pytest.mark.parametrize("indices", [[0.5], [[0, 1]], [True]])
def test_indices_of_another_kind_are_refused(indices):
    with pytest.raises(ValueError, match="indices: expected one axis of integers"):
        ShapeTexture().render(indices)
