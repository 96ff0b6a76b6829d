"""What is drawn at random for each image of the bundled world, labels apart.

Placement, texture, colours, background and clutter each have their own stream of counter-based
random numbers and never look at a label, so that no label can be read from them. Lengths are in
frame widths, angles in radians, grey levels and colours in [0, 1].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vitscope.data import counter_random, shapes, textures

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Ranges of uniform draws. They were settled with benchmarks/world_bounds.py and the contact sheet:
# varied enough that raw-pixel neighbours stay below 30 % for either label, narrow enough that
# small ViTs find both labels, and quiet enough around the object (which fills half to most of the
# frame) that no background is the easiest thing to recognise an image by.
SCALE = (0.40, 0.56)  # square root of the object's area
ROTATION = (-np.pi / 9, np.pi / 9)  # of the shape; a square looks the same after pi / 2
PERIOD = (0.08, 0.12)  # of the texture: 2.6 to 3.8 px at 32 px, where strokes still show
TEXTURE_ANGLE = (-5 * np.pi / 12, 5 * np.pi / 12)  # short of pi / 2, where stripes come round
TEXTURE_SHIFT = (-2.0, 2.0)  # of its origin from the object's, in periods: moves the rings' centre
# Grey levels: the tones are at least 0.48 apart, and each at least 0.08 from the background.
BACKGROUND = (0.34, 0.66)
DARK_TONE, LIGHT_TONE = (0.08, 0.26), (0.74, 0.92)
TONE_CHROMA = (0.2, 0.9)  # share of the largest chroma that the grey level allows
BACKGROUND_CHROMA = (0.0, 0.1)
BACKGROUND_CONTRAST = (0.02, 0.05)  # standard deviation of the noise
NUM_BLOBS, BLOB_SHOWN = 4, 0.6  # clutter: places, and the chance that one is used
BLOB_LENGTH, BLOB_ASPECT = (0.04, 0.14), (0.25, 1.0)  # long axis, short over long
BLOB_HEIGHT = (0.05, 0.12)  # change of the grey level at the centre, up or down

# Rec. 601 weights, those of PIL's and torchvision's greyscale; two axes without luma span chroma.
_LUMA = np.array([0.299, 0.587, 0.114])
_CHROMA_A = np.array([_LUMA[1], -_LUMA[0], 0.0]) / np.hypot(_LUMA[0], _LUMA[1])
_CHROMA_B = np.cross(_LUMA, _CHROMA_A) / np.linalg.norm(np.cross(_LUMA, _CHROMA_A))


def parameters(seed: int, indices: Int64) -> dict[str, npt.NDArray]:
    """Return everything drawn for these images but the labels, each with leading axis n.

    `scale`, `position` (x, y of the shape's origin), `rotation`; `texture_angle`,
    `texture_period`, `texture_shift` (x, y, in periods), `waves` (see textures.pattern); `tones`
    (n, 2, 3), `background_level`, `background_colour` (n, 3), `background_contrast`;
    `blob_centre`, `blob_radii`, `blob_angle`, `blob_height` (n, NUM_BLOBS, ...).
    """
    return {
        **placement(seed, indices),
        **_texture(seed, indices),
        **_colours(seed, indices),
        **_clutter(seed, indices),
    }


def placement(seed: int, indices: Int64) -> dict[str, Float64]:
    """Scale, position and rotation; the whole object stays in the frame, whatever its shape."""
    u = counter_random.uniforms(seed, indices, "placement", 4)
    scale = _between(SCALE, u[:, 0])
    room = 0.5 - shapes.MAX_RADIUS * scale[:, None]
    position = 0.5 + room * (2 * u[:, 1:3] - 1)
    return {"scale": scale, "position": position, "rotation": _between(ROTATION, u[:, 3])}


def coloured(level: Float64, hue: Float64, chroma: Float64) -> Float64:
    """Return RGB (..., 3) in [0, 1] whose luma is `level`, whatever the hue.

    `hue` in turns; `chroma` in [0, 1]: the share of the way from grey to the edge of the gamut.
    """
    angle = 2 * np.pi * hue[..., None]
    direction = np.cos(angle) * _CHROMA_A + np.sin(angle) * _CHROMA_B
    level = level[..., None]
    room = np.where(direction > 0, 1 - level, level) / np.maximum(np.abs(direction), 1e-9)
    return level + chroma[..., None] * room.min(axis=-1, keepdims=True) * direction


def _between(bounds: tuple[float, float], u: Float64) -> Float64:
    return bounds[0] + (bounds[1] - bounds[0]) * u


def _texture(seed: int, indices: Int64) -> dict[str, Float64]:
    u = counter_random.uniforms(seed, indices, "pattern", 4)
    waves = counter_random.uniforms(seed, indices, "waves", 2 * textures.NUM_WAVES)
    return {
        "texture_angle": _between(TEXTURE_ANGLE, u[:, 0]),
        "texture_period": _between(PERIOD, u[:, 1]),
        "texture_shift": _between(TEXTURE_SHIFT, u[:, 2:]),
        "waves": waves.reshape(len(indices), textures.NUM_WAVES, 2),
    }


def _colours(seed: int, indices: Int64) -> dict[str, Float64]:
    """Tones and background; half of the images have every grey level reflected.

    The reflection makes the world its own photographic negative, whatever the ranges above are.
    """
    u = counter_random.uniforms(seed, indices, "tones", 8)
    b = counter_random.uniforms(seed, indices, "background", 4)
    swapped, reflected = u[:, 6:7] < 0.5, u[:, 7:8] < 0.5
    tones = np.stack([_between(DARK_TONE, u[:, 0]), _between(LIGHT_TONE, u[:, 1])], axis=-1)
    tones = np.where(swapped, tones[:, ::-1], tones)
    tones = np.where(reflected, 1 - tones, tones)
    ground = _between(BACKGROUND, b[:, 0])
    ground = np.where(reflected[:, 0], 1 - ground, ground)
    return {
        "tones": coloured(tones, u[:, 2:4], _between(TONE_CHROMA, u[:, 4:6])),
        "background_level": ground,
        "background_colour": coloured(ground, b[:, 1], _between(BACKGROUND_CHROMA, b[:, 2])),
        "background_contrast": _between(BACKGROUND_CONTRAST, b[:, 3]),
    }


def _clutter(seed: int, indices: Int64) -> dict[str, Float64]:
    u = counter_random.uniforms(seed, indices, "clutter", NUM_BLOBS * 7)
    u = u.reshape(len(indices), NUM_BLOBS, 7)
    length = _between(BLOB_LENGTH, u[..., 3])
    height = _between(BLOB_HEIGHT, u[..., 6]) * np.where(u[..., 0] < BLOB_SHOWN / 2, -1, 1)
    return {
        "blob_centre": u[..., 1:3],
        "blob_radii": np.stack([length, length * _between(BLOB_ASPECT, u[..., 4])], axis=-1),
        "blob_angle": np.pi * u[..., 5],
        "blob_height": np.where(u[..., 0] < BLOB_SHOWN, height, 0.0),
    }
