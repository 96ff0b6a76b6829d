"""The textures of the bundled world: two-tone patterns, half of one tone and half of the other.

Equal shares keep the mean colour of a textured object silent about its texture. A pattern is a
function of coordinates counted in periods; its edges are softened over one pixel, so that pixels
vary continuously with every parameter and no pattern aliases.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

NUM_WAVES = 12  # plane waves in one blotchy field: enough that no direction is seen


def _half(u: Array) -> Array:
    """Return the signed distance, in periods, to the edge of a wave that is high half the time."""
    return np.abs(u - np.floor(u) - 0.5) - 0.25


def _cover(distance: Array, pixel: Array) -> Array:
    """Return how much of a pixel lies on the positive side of an edge `distance` away."""
    return np.clip(distance / pixel + 0.5, 0, 1)


def _either(a: Array, b: Array) -> Array:
    """Return the coverage of the exclusive or of two independent edges."""
    return a + b - 2 * a * b


def _stripes(u: Array, v: Array, pixel: Array, waves: Array) -> Array:
    return _cover(_half(u), pixel)


def _checks(u: Array, v: Array, pixel: Array, waves: Array) -> Array:
    return _either(_cover(_half(u), pixel), _cover(_half(v), pixel))


def _dots(u: Array, v: Array, pixel: Array, waves: Array) -> Array:
    """Discs on a hexagonal lattice: two rectangular lattices, one shifted by half a cell."""
    height = np.sqrt(3)
    radius = np.sqrt(0.5 * (height / 2) / np.pi)  # half of the area per disc, sqrt(3) / 2
    first = np.hypot(u - np.round(u), v - height * np.round(v / height))
    u, v = u - 0.5, v - height / 2
    second = np.hypot(u - np.round(u), v - height * np.round(v / height))
    return _cover(radius - np.minimum(first, second), pixel)


def _rings(u: Array, v: Array, pixel: Array, waves: Array) -> Array:
    return _cover(_half(np.hypot(u, v)), pixel)


def _zigzag(u: Array, v: Array, pixel: Array, waves: Array) -> Array:
    """Stripes bent at right angles; legs at 45 degrees shrink distances by sqrt(2)."""
    return _cover(_half(v + 2 * _half(u / 2)) * np.sqrt(0.5), pixel)


def _triangles(u: Array, v: Array, pixel: Array, waves: Array) -> Array:
    """Three families of stripes at 60 degrees whose phases sum to zero: a triangular tiling."""
    a, b = u, -0.5 * u + np.sqrt(0.75) * v
    pair = _either(_cover(_half(a + 0.25), pixel), _cover(_half(b + 0.25), pixel))
    return _either(pair, _cover(_half(-a - b + 0.25), pixel))


def _blotches(u: Array, v: Array, pixel: Array, waves: Array) -> Array:
    """The sign of a sum of plane waves of one wavelength in random directions.

    `waves` (n, NUM_WAVES, 2): direction and phase in turns. The field's root-mean-square slope
    across an edge is 2 pi * its standard deviation / sqrt(2), which turns height into distance.
    """
    total = np.zeros_like(u)
    for k in range(NUM_WAVES):
        angle = 2 * np.pi * waves[:, k, 0, None, None]
        phase = 2 * np.pi * waves[:, k, 1, None, None]
        total += np.cos(2 * np.pi * (np.cos(angle) * u + np.sin(angle) * v) + phase)
    slope = np.pi * np.sqrt(NUM_WAVES)
    return _cover(total / u.dtype.type(slope), pixel)


def _grid(u: Array, v: Array, pixel: Array, waves: Array) -> Array:
    """Crossing lines; squares of side sqrt(1/2) periods leave half of the area to the lines."""
    half_side = np.sqrt(0.5) / 2
    inside = [_cover(half_side - np.abs(w - np.round(w)), pixel) for w in (u, v)]
    return inside[0] * inside[1]


def _weave(u: Array, v: Array, pixel: Array, waves: Array) -> Array:
    """Checks filled with stripes along u and along v in turn: a basket weave."""
    board = _either(_cover(_half(u / 2), pixel / 2), _cover(_half(v / 2), pixel / 2))
    along, across = _cover(_half(u * 1.5), pixel * 1.5), _cover(_half(v * 1.5), pixel * 1.5)
    return along + board * (across - along)


# name: (pattern, period relative to the drawn one); the relative periods make strokes of similar
# width, judged on the contact sheet. The default eight come first.
_TEXTURES: dict[str, tuple[Callable[[Array, Array, Array, Array], Array], float]] = {
    "stripes": (_stripes, 1.0),
    "checks": (_checks, 1.4),
    "dots": (_dots, 1.2),
    "rings": (_rings, 1.0),
    "zigzag": (_zigzag, 1.4),
    "triangles": (_triangles, 2.0),
    "blotches": (_blotches, 1.6),
    "grid": (_grid, 1.2),
    "weave": (_weave, 1.4),
}
TEXTURES: tuple[str, ...] = tuple(_TEXTURES)


def pattern(texture: int, x: Array, y: Array, period: Array, pixel: float, waves: Array) -> Array:
    """Return how much of each pixel has the second tone, in [0, 1], shape (n, height, width).

    `x`, `y` (n, height, width): coordinates along and across the texture; `period` (n,), before
    the texture's own factor, and `pixel`, the width of one pixel, share their unit; `waves`
    (n, NUM_WAVES, 2): random numbers in [0, 1) for the blotches.
    """
    function, relative = _TEXTURES[TEXTURES[texture]]
    scale = (1 / (relative * period)).astype(x.dtype)[:, None, None]
    return function(x * scale, y * scale, x.dtype.type(pixel) * scale, waves.astype(x.dtype))
