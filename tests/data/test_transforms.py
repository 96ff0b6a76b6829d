"""Evaluation equals timm's; random views have the published distributions."""

import colorsys

import numpy as np
import pytest
import timm.data
import torch
from PIL import Image, ImageFilter, ImageOps
from torchvision.transforms import v2

from vitscope.data import evaluation_transform, moco_v3_views, simmim_view, transforms

UNIT = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}  # pixels as levels 0 to 255
MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
DRAWS = 500


def noise(height: int, width: int, low: int = 0, high: int = 256) -> Image.Image:
    pixels = np.random.default_rng(0).integers(low, high, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def constant(*colour: int, size: int = 5) -> Image.Image:
    return Image.new("RGB", (size, size), colour)


def draws(view, image, number: int = DRAWS) -> np.ndarray:
    torch.manual_seed(0)
    return np.stack([view(image).numpy() for _ in range(number)])


def assert_share(happened: np.ndarray, p: float) -> None:
    """Within four standard deviations of a binomial."""
    assert abs(np.mean(happened) - p) <= 4 * np.sqrt(p * (1 - p) / len(happened))


# Evaluation --------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(256, 341), (500, 333), (97, 101), (224, 224)])
def test_evaluation_above_96_px_is_timms(size):
    image = noise(*size)
    expected = timm.data.create_transform(224, interpolation="bicubic", crop_pct=0.875)
    assert torch.equal(evaluation_transform(224)(image), expected(image))


def test_evaluation_covers_the_crop_of_an_image_that_is_not_square():
    image = noise(200, 400)
    resized = image.resize((512, 256), Image.Resampling.BICUBIC)  # 224 / 0.875 = 256 rows
    expected = resized.crop((200, 16, 312, 240))
    actual = evaluation_transform((224, 112), **UNIT)(image)
    assert torch.equal(actual.round().byte(), v2.functional.pil_to_tensor(expected))


def test_a_small_square_image_of_the_right_size_is_only_normalised():
    image = noise(32, 32)
    levels = v2.functional.pil_to_tensor(image).double() / 255
    expected = (levels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(evaluation_transform(32, MEAN, STD)(image).double(), expected)


def test_a_small_image_is_resized_without_a_margin():
    image = noise(32, 40)
    expected = image.resize((80, 64), Image.Resampling.BICUBIC).crop((8, 0, 72, 64))
    actual = evaluation_transform(64, **UNIT)(image)
    assert torch.equal(actual.round().byte(), v2.functional.pil_to_tensor(expected))


def test_pil_images_and_uint8_tensors_give_the_same_evaluation_view():
    image = noise(120, 130)
    tensor = v2.functional.pil_to_tensor(image)
    transform = evaluation_transform(112)
    assert torch.equal(transform(image), transform(tensor))


def test_floats_are_not_quantised_and_stay_in_range():
    image = torch.rand(3, 45, 45, dtype=torch.float64)
    assert torch.equal(evaluation_transform(45, (0, 0, 0), (1, 1, 1))(image), image)
    larger = evaluation_transform(64, (0, 0, 0), (1, 1, 1))(image.round())
    assert larger.min() == 0 and larger.max() == 1  # bicubic overshoots a step


def test_float_images_are_resized_as_8_bit_images_are():
    image = noise(150, 130, low=80, high=180)  # PIL clips between its two passes, floats do not
    tensor = v2.functional.pil_to_tensor(image)
    transform = evaluation_transform(112, **UNIT)
    assert (transform(tensor.double() / 255) - transform(tensor)).abs().max() < 1.5  # levels


# Contrastive views -------------------------------------------------------------------------------
@pytest.mark.parametrize("view", moco_v3_views(5, **UNIT))
def test_a_fifth_of_the_contrastive_views_is_grey(view):
    out = draws(view, constant(200, 90, 40))
    assert_share((out == out[:, :1]).all(axis=(1, 2, 3)), 0.2)


@pytest.mark.parametrize("view", moco_v3_views(5, **UNIT))
def test_brightness_changes_four_of_five_views_by_up_to_40_percent(view):
    out = draws(view, constant(100, 100, 100))[:, 0, 2, 2].round()
    out = out[out <= 140] if view.solarize_p == 0 else np.where(out > 127, np.nan, out)
    out = out[~np.isnan(out)]
    assert out.min() >= 60 and out.max() <= 140
    assert out.min() <= 63
    jittered = 0.8 * (1 - 1 / 80)  # a factor that rounds back to level 100 shows no change
    if view.solarize_p == 0:
        assert out.max() >= 137
        assert_share(out != 100, jittered)


def test_hue_turns_by_up_to_a_tenth_of_the_circle():
    view = moco_v3_views(5, **UNIT)[0]
    out = draws(view, constant(60, 180, 120))[:, :, 2, 2]
    turns = np.array([colorsys.rgb_to_hsv(*rgb)[0] for rgb in out if np.ptp(rgb) > 0])
    turns -= colorsys.rgb_to_hsv(60, 180, 120)[0]
    assert np.abs(turns).max() <= 0.1 + 0.015  # levels and hue are rounded to 8 bits
    assert turns.min() < -0.08 and turns.max() > 0.08


def test_contrast_and_saturation_have_the_published_ranges():
    for view in moco_v3_views(5):
        assert view._jitter.contrast == (0.6, 1.4)
        assert view._jitter.saturation == (0.8, 1.2)


def test_solarisation_never_happens_in_the_first_view_and_to_a_fifth_of_the_second():
    first, second = (draws(view, constant(255, 255, 255)) for view in moco_v3_views(5, **UNIT))
    # Brightness alone leaves white at 0.6 * 255 = 153 or more; solarised it is 102 or less.
    assert first.min() > 152
    assert_share(second[:, 0, 2, 2] < 103, 0.2)


def test_solarisation_inverts_levels_from_128_on():
    view = transforms.ContrastiveView(5, 1.0, 0.0, 1.0, 1.0, *UNIT.values())
    for level, expected in ((120, 120), (127, 127), (130, 125), (250, 5)):
        out = draws(view, constant(level, level, level), 100)[:, 0, 2, 2].round()
        assert out.max() <= 127
        assert (out == expected).mean() > 0.08  # where the colours were not jittered


@pytest.mark.parametrize("view", [*moco_v3_views(7, **UNIT), simmim_view(7, **UNIT)])
def test_half_of_the_views_are_flipped(view):
    ramp = np.repeat(np.linspace(20, 120, 56, dtype=np.uint8)[None, :, None], 56, axis=0)
    image = Image.fromarray(np.repeat(ramp, 3, axis=2))
    out = draws(view, image)
    left, right = out[..., :3].mean(axis=(1, 2, 3)), out[..., -3:].mean(axis=(1, 2, 3))
    kept = out.max(axis=(1, 2, 3)) < 127 if getattr(view, "solarize_p", 0) else slice(None)
    assert_share((left > right)[kept], 0.5)


@pytest.mark.parametrize("blur_scale", [1.0, 32 / 224])
def test_blur_is_always_in_the_first_view_a_tenth_in_the_second_and_uniform_in_sigma(
    monkeypatch, blur_scale
):
    original, radii = ImageFilter.GaussianBlur, []

    def recorded(radius):
        radii.append(radius)
        return original(radius)

    monkeypatch.setattr(transforms.ImageFilter, "GaussianBlur", recorded)
    first, second = moco_v3_views(5, blur_scale=blur_scale)
    draws(first, constant(1, 2, 3))
    assert len(radii) == DRAWS
    quantiles = np.quantile(np.array(radii) / blur_scale, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(quantiles, [0.1, 0.575, 1.05, 1.525, 2.0], atol=0.12)
    assert quantiles[0] >= 0.1 and quantiles[-1] <= 2.0
    radii.clear()
    draws(second, constant(1, 2, 3))
    assert_share(np.arange(DRAWS) < len(radii), 0.1)


def test_the_steps_follow_each_other_in_the_published_order(monkeypatch):
    monkeypatch.setattr(transforms, "_chance", lambda p: p > 0)  # every step that can happen
    monkeypatch.setattr(transforms, "_between", lambda low, high: high)
    image, view = noise(17, 19), moco_v3_views(13, **UNIT)[1]
    for seed in range(5):
        torch.manual_seed(seed)
        actual = view(image)
        torch.manual_seed(seed)
        expected = v2.RandomResizedCrop(13, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))(image)
        expected = v2.ColorJitter(0.4, 0.4, 0.2, 0.1)(expected)
        expected = v2.Grayscale(3)(expected).filter(ImageFilter.GaussianBlur(2.0))
        expected = ImageOps.mirror(ImageOps.solarize(expected))
        assert torch.equal(actual.round().byte(), v2.functional.pil_to_tensor(expected))


# Crops -------------------------------------------------------------------------------------------
def crop_sides(view, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Height and width of crops as shares, read off an image whose colours are coordinates."""
    axis = np.arange(240, dtype=np.uint8)
    image = np.stack([*np.meshgrid(axis, axis, indexing="ij"), np.zeros((240, 240))], axis=-1)
    out = draws(view, Image.fromarray(image.astype(np.uint8)), number)
    size = out.shape[-1]
    spans = (np.ptp(out[:, channel], axis=(1, 2)) for channel in (0, 1))
    # The outermost of `size` pixel centres lie (size - 1) / size of the crop apart.
    height, width = (span * size / (size - 1) / 240 for span in spans)
    return height, width


@pytest.mark.parametrize("crop_min", [0.08, 0.67])
def test_crops_have_the_published_areas_and_aspect_ratios(crop_min):
    height, width = crop_sides(simmim_view(41, crop_min, **UNIT), 400)
    share, ratio = height * width, width / height
    assert share.min() >= crop_min - 0.02 and share.max() <= 1.02
    assert share.min() < crop_min + 0.05 and share.max() > 0.93
    assert ratio.min() >= 3 / 4 - 0.05 and ratio.max() <= 4 / 3 + 0.06
    assert ratio.min() < 0.8 and ratio.max() > 1.25


def test_simmims_view_changes_no_colours():
    view = simmim_view(5, mean=MEAN, std=STD)
    out = draws(view, constant(50, 100, 150), 50)
    expected = (np.array([50, 100, 150]) / 255 - MEAN) / STD
    np.testing.assert_allclose(out, np.broadcast_to(expected[:, None, None], out.shape), atol=1e-6)


def test_views_take_any_form_of_image():
    image = noise(16, 16)
    tensor = v2.functional.pil_to_tensor(image)
    for view in (*moco_v3_views(8), simmim_view(8)):
        results = []
        for form in (image, tensor, tensor.float() / 255):
            torch.manual_seed(1)
            results.append(view(form))
        assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_a_grey_image_is_seen_in_three_equal_colours():
    out = evaluation_transform(8, **UNIT)(Image.new("L", (8, 8), 77))
    torch.testing.assert_close(out, torch.full((3, 8, 8), 77.0))


def test_floats_become_the_nearest_of_256_levels():
    image = torch.tensor([0.4, 99.6, 254.7]).reshape(3, 1, 1) / 255
    assert transforms.pil_image(image).getpixel((0, 0)) == (0, 100, 255)


@pytest.mark.parametrize("crop_min", [0.0, 1.2])
def test_a_crop_share_outside_0_to_1_is_refused(crop_min):
    with pytest.raises(ValueError, match="crop_min"):
        simmim_view(8, crop_min)
    with pytest.raises(ValueError, match="crop_min"):
        moco_v3_views(8, crop_min)
