"""What the bundled world is put together from: shapes, textures, backgrounds and colours."""

import numpy as np
import pytest

from vitscope.data import backgrounds, counter_random, scene, shapes, textures
from vitscope.data.shape_texture import SHAPES, TEXTURES


@pytest.mark.parametrize("shape", range(len(SHAPES)), ids=SHAPES)
def test_shape_has_area_one_fits_its_circle_and_is_its_own_mirror_image(shape):
    axis = (np.arange(1000) + 0.5) / 500 - 1
    distance = shapes.signed_distance(shape, axis[None, :], axis[:, None])
    inside = distance <= 0
    assert inside.mean() * 4 == pytest.approx(1, abs=2e-3)
    assert np.hypot(axis[None, :], axis[:, None])[inside].max() < shapes.MAX_RADIUS
    np.testing.assert_array_equal(inside, inside[:, ::-1])


@pytest.mark.parametrize("shape", range(len(SHAPES)), ids=SHAPES)
def test_outline_lies_where_the_distance_is_zero(shape):
    points = shapes.outline(shape)
    assert np.abs(shapes.signed_distance(shape, points[:, 0], points[:, 1])).max() < 1e-12


@pytest.mark.parametrize("texture", range(len(TEXTURES)), ids=TEXTURES)
def test_texture_is_half_of_each_tone(texture):
    axis = (np.arange(200) + 0.5) / 200
    x, y = np.meshgrid(axis, axis)
    waves = counter_random.uniforms(0, np.arange(20), "waves", 2 * textures.NUM_WAVES)
    waves = waves.reshape(20, textures.NUM_WAVES, 2)
    turned = x + 0.3 * y, y - 0.3 * x  # off the axes, so that whole periods do not matter
    planes = [np.broadcast_to(plane, (20, 200, 200)) for plane in turned]
    share = textures.pattern(texture, *planes, np.full(20, 0.05), 1 / 200, waves)
    assert share.min() >= 0 and share.max() <= 1
    assert share.mean() == pytest.approx(0.5, abs=0.02)


def test_round_shape_fills_its_box_exactly():
    scale, centre = np.array([2.0]), np.array([[5.0, 6.0]])
    box = shapes.bounding_box(SHAPES.index("disc"), scale, np.array([0.3]), centre)
    radius = 2 / np.sqrt(np.pi)
    np.testing.assert_allclose(box[0], [5 - radius, 6 - radius, 5 + radius, 6 + radius], atol=2e-4)


def test_background_has_a_natural_power_spectrum():
    size = 64
    fields = backgrounds.noise(counter_random.stream_keys(0, np.arange(40), "noise"), size)
    assert fields.mean((1, 2)) == pytest.approx(0, abs=1e-5)
    assert fields.std((1, 2)) == pytest.approx(1, abs=1e-4)
    power = (np.abs(np.fft.fft2(fields)) ** 2).mean(0)
    frequency = np.fft.fftfreq(size, 1 / size)
    ring = np.rint(np.hypot(frequency[:, None], frequency[None, :])).astype(int)
    rings = np.arange(4, size // 2 - 1)  # below, a ring one wide spans too many frequencies
    radial = [power[ring == r].mean() for r in rings]
    slope = np.polyfit(np.log(rings), np.log(radial), 1)[0]
    assert slope == pytest.approx(-2, abs=0.02)


def test_background_is_the_same_field_at_every_size():
    keys = counter_random.stream_keys(0, np.arange(20), "noise")
    coarse, fine = backgrounds.noise(keys, 32), backgrounds.noise(keys, 128)
    halved = fine.reshape(20, 32, 4, 32, 4).mean((2, 4))
    assert np.corrcoef(coarse.ravel(), halved.ravel())[0, 1] > 0.95  # half a pixel off: 0.88


def test_clutter_falls_by_one_deviation_along_its_turned_axes():
    axis = np.arange(-5.0, 6.0)
    args = ([[[1.0, 0.0]]], [[[4.0, 2.0]]], [[np.pi / 2]], [[0.1]])  # the long axis points down
    blob = backgrounds.clutter(*map(np.array, args), axis, axis)[0]
    at = {(x, y): blob[y + 5, x + 5] for x, y in ((1, 0), (1, 4), (1, -4), (3, 0), (-1, 0))}
    assert at.pop((1, 0)) == pytest.approx(0.1)
    assert list(at.values()) == pytest.approx([0.1 * np.exp(-0.5)] * 4)
    tilted = backgrounds.clutter(*map(np.array, (*args[:2], [[0.5]], [[0.1]])), axis, axis)[0]
    assert tilted[5 + 2, 6 + 3] > 1.5 * tilted[5 - 2, 6 + 3]  # clockwise: right and down


def test_coloured_grey_has_its_luma_and_reaches_the_gamut():
    colour = scene.coloured(np.full(4, 0.25), np.arange(4) / 4, np.array([0.0, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(colour @ [0.299, 0.587, 0.114], 0.25)
    assert colour[0].tolist() == [0.25, 0.25, 0.25]
    at_edge = np.minimum(colour, 1 - colour).min(1)
    np.testing.assert_allclose(at_edge, [0.25, 0, 0, 0], atol=1e-12)
