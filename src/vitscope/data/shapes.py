"""The shapes of the bundled world: signed distances, outlines and boxes.

Every shape has area 1 in its own coordinates, so that scale (the square root of the area) says
nothing about the shape, and fits into a circle of radius `MAX_RADIUS` about the origin, so that
position can be drawn without looking at the shape. Each is its own mirror image: a horizontal
flip, an augmentation of every method here, never leaves the class. The y axis points down.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

_ARC_POINTS = 256  # chord error of an arc: radius * (1 - cos(pi / 256)) = 7.5e-5 radii
MAX_RADIUS = 0.88  # the triangle's circumradius, sqrt(4 / (3 sqrt 3)) = 0.8774, is the largest


def _regular(corners: int, radius: float, first: float = -np.pi / 2) -> Array:
    """Return the corners of a regular polygon, shape (corners, 2); the first points up."""
    angle = first + 2 * np.pi * np.arange(corners) / corners
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _arc(x: float, y: float, radius: float, start: float, stop: float) -> Array:
    """Return points on a circular arc, shape (_ARC_POINTS + 1, 2); angles in radians."""
    angle = np.linspace(start, stop, _ARC_POINTS + 1)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=-1)


def _interleave(outer: Array, inner: Array) -> Array:
    """Return the corners of a star from its points and its notches."""
    return np.stack([outer, inner], axis=1).reshape(-1, 2)


# Disc and ring -----------------------------------------------------------------------------------
_DISC = 1 / np.sqrt(np.pi)
_RING_HOLE = 0.55  # hole over outer radius: wide enough to be seen at 32 px, the band too
_RING = 1 / np.sqrt(np.pi * (1 - _RING_HOLE**2))


def _disc_distance(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - _DISC


def _ring_distance(x: Array, y: Array) -> Array:
    middle, half = _RING * (1 + _RING_HOLE) / 2, _RING * (1 - _RING_HOLE) / 2
    return np.abs(np.hypot(x, y) - middle) - half


# Polygons ----------------------------------------------------------------------------------------
_TRIANGLE = np.sqrt(4 / (3 * np.sqrt(3)))
_STAR_NOTCH = 0.45  # notch over point radius: fatter than a pentagram (0.382), so arms keep pixels
_STAR = 1 / np.sqrt(5 * _STAR_NOTCH * np.sin(np.pi / 5))
_HEXAGRAM = 1 / np.sqrt(np.sqrt(3))
_CROSS = 3 / np.sqrt(5)  # total length with arms a third as wide: area 5/9 length^2
_ARROW = 1 / np.sqrt(1.02)  # head 0.5 * 1.5 * 0.8, shaft 0.6 * 0.7: area 1.02


def _triangle_distance(x: Array, y: Array, radius: float = _TRIANGLE) -> Array:
    return np.maximum(y, np.sqrt(0.75) * np.abs(x) - 0.5 * y) - radius / 2


def _square_distance(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.5


def _cross_distance(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - _CROSS / 2, np.minimum(x, y) - _CROSS / 6)


def _star_distance(x: Array, y: Array) -> Array:
    """Fold the plane into the wedge of half a point, where the star is one half-plane."""
    wedge = 2 * np.pi / 5
    angle = np.arctan2(x, -y)
    angle = np.abs(angle - wedge * np.round(angle / wedge))
    radius = np.hypot(x, y)
    tip = np.array([_STAR, 0.0])
    notch = _STAR * _STAR_NOTCH * np.array([np.cos(wedge / 2), np.sin(wedge / 2)])
    edge = notch - tip
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    a, b = (float(value) for value in normal)
    return radius * (a * np.cos(angle) + b * np.sin(angle)) - float(normal @ tip)


def _hexagram_distance(x: Array, y: Array) -> Array:
    return np.minimum(_triangle_distance(x, y, _HEXAGRAM), _triangle_distance(x, -y, _HEXAGRAM))


def _arrow_distance(x: Array, y: Array) -> Array:
    x, y = np.abs(x) / _ARROW, y / _ARROW
    slope = 0.75 / 0.8  # half the head's width over its height, from the tip at y = -0.75
    side = (x - slope * (y + 0.75)) / np.hypot(1, slope)
    head = np.maximum(side, y - 0.05)
    shaft = np.maximum(np.maximum(x - 0.3, y - 0.75), -y)
    return np.minimum(head, shaft) * _ARROW


_ARROW_CORNERS = [(0, -0.75), (0.75, 0.05), (0.3, 0.05), (0.3, 0.75)]


# Crescent: a disc of radius 1 less a disc of radius _BITE about (0, _BITE_AT), then scaled --------
_BITE, _BITE_AT = 0.8, 0.5


def _lens_area(r: float, s: float, d: float) -> float:
    """Return the common area of discs of radii r and s whose centres are d apart."""
    alpha = np.arccos((d * d + r * r - s * s) / (2 * d * r))
    beta = np.arccos((d * d + s * s - r * r) / (2 * d * s))
    return r * r * (alpha - np.sin(2 * alpha) / 2) + s * s * (beta - np.sin(2 * beta) / 2)


_CRESCENT = 1 / np.sqrt(np.pi - _lens_area(1.0, _BITE, _BITE_AT))


def _crescent_distance(x: Array, y: Array) -> Array:
    bite = np.hypot(x, y - _BITE_AT * _CRESCENT) - _BITE * _CRESCENT
    return np.maximum(np.hypot(x, y) - _CRESCENT, -bite)


def _crescent_outline() -> Array:
    horn = np.arccos((_BITE_AT**2 + 1 - _BITE**2) / (2 * _BITE_AT))  # from the bite's axis
    return _arc(0, 0, _CRESCENT, np.pi / 2 + horn, 5 * np.pi / 2 - horn)


# Heart: a square on its corner with half a disc on each upper side -------------------------------
_HEART = 1 / np.sqrt(1 + np.pi / 4)  # side of the square
_HEART_LOBE = _HEART / (2 * np.sqrt(2))  # the lobes' centres: the midpoints of the upper sides
_HEART_DOWN = 0.06  # the lobes' tops and the corner are then about equally far from the origin


def _heart_distance(x: Array, y: Array) -> Array:
    x, y = np.abs(x), y - _HEART_DOWN
    square = (x + np.abs(y)) * np.sqrt(0.5) - _HEART / 2
    return np.minimum(square, np.hypot(x - _HEART_LOBE, y + _HEART_LOBE) - _HEART / 2)


def _heart_outline() -> Array:
    y = _HEART_DOWN - _HEART_LOBE
    right = _arc(_HEART_LOBE, y, _HEART / 2, -3 * np.pi / 4, np.pi / 4)
    left = _arc(-_HEART_LOBE, y, _HEART / 2, 3 * np.pi / 4, 7 * np.pi / 4)
    corner = np.array([[0.0, _HEART_DOWN + _HEART * np.sqrt(0.5)]])
    return np.concatenate([right, corner, left])


def _mirrored(corners: list[tuple[float, float]], scale: float) -> Array:
    right = scale * np.array(corners, dtype=np.float64)
    return np.concatenate([right, right[::-1] * [-1, 1]])


def _cross_outline() -> Array:
    a, b = _CROSS / 2, _CROSS / 6
    return _mirrored([(b, -a), (b, -b), (a, -b), (a, b), (b, b), (b, a)], 1.0)


# name: (signed distance in the shape's coordinates, outer outline); the default eight come first.
_SHAPES: dict[str, tuple[Callable[[Array, Array], Array], Array]] = {
    "disc": (_disc_distance, _arc(0, 0, _DISC, 0, 2 * np.pi)),
    "triangle": (_triangle_distance, _regular(3, _TRIANGLE)),
    "square": (_square_distance, _regular(4, np.sqrt(0.5), np.pi / 4)),
    "star": (
        _star_distance,
        _interleave(_regular(5, _STAR), _regular(5, _STAR * _STAR_NOTCH, -np.pi / 2 + np.pi / 5)),
    ),
    "cross": (_cross_distance, _cross_outline()),
    "crescent": (_crescent_distance, _crescent_outline()),
    "ring": (_ring_distance, _arc(0, 0, _RING, 0, 2 * np.pi)),
    "heart": (_heart_distance, _heart_outline()),
    "arrow": (_arrow_distance, _mirrored(_ARROW_CORNERS, _ARROW)),
    "hexagram": (
        _hexagram_distance,
        _interleave(
            _regular(6, _HEXAGRAM), _regular(6, _HEXAGRAM / np.sqrt(3), -np.pi / 2 + np.pi / 6)
        ),
    ),
}
SHAPES: tuple[str, ...] = tuple(_SHAPES)


def signed_distance(shape: int, x: Array, y: Array) -> Array:
    """Return the signed distance to the edge of shape number `shape`, negative inside.

    `x`, `y`: coordinates of any common shape, in units of the square root of the area. Inside and
    near straight or round edges the distance is exact; outside a corner it is the distance to the
    extended edge, which keeps corners sharp when it is turned into pixel coverage.
    """
    return _SHAPES[SHAPES[shape]][0](x, y)


def outline(shape: int) -> Array:
    """Return points of the outer outline in order, float64 (points, 2), area 1 (holes ignored)."""
    return _SHAPES[SHAPES[shape]][1]


def bounding_box(shape: int, scale: Array, rotation: Array, centre: Array) -> Array:
    """Return boxes (n, 4) = left, top, right, bottom of one shape placed n times.

    `scale` (n,): square root of the area; `rotation` (n,): radians, clockwise on the screen;
    `centre` (n, 2): x and y. Box, scale and centre share one unit.
    """
    points = outline(shape)
    cos, sin = np.cos(rotation)[:, None], np.sin(rotation)[:, None]
    x = centre[:, :1] + scale[:, None] * (cos * points[:, 0] - sin * points[:, 1])
    y = centre[:, 1:] + scale[:, None] * (sin * points[:, 0] + cos * points[:, 1])
    return np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], axis=-1)
