"""The bundled world: images with a known shape, texture, mask and box, drawn by numpy alone.

The paper asks whether a model knows shapes or textures, where it attends and what it keeps of an
image; here every one of these questions has an exact answer and needs no download. One object of
one shape, filled with one two-tone texture, lies on a quiet grey background whose power spectrum
is that of natural images. Everything drawn is a pure function of (seed, index, what it is for), so
sample i is the same in any order, batch and machine (pixels within one grey level).

Splits: `independent` (texture says nothing about shape), `aligned` (texture k on shape k),
`conflict` (never texture k on shape k), `silhouette` (one uniform tone), `texture_only` (the
texture fills the frame). Index i has the same placement, colours and background in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vitscope.data import backgrounds, counter_random, scene, shapes, textures
from vitscope.data.shapes import SHAPES
from vitscope.data.textures import TEXTURES

Array = npt.NDArray[np.floating]
Int64 = npt.NDArray[np.int64]

SPLITS = ("independent", "aligned", "conflict", "silhouette", "texture_only")
SIZES = (32, 224)  # pixels: below 32 textures alias; 224 is the published models' input
ABSENT = -1  # the label of what a split does not show

_CHUNK_PIXELS = 2**19  # drawn at once: float32 planes of 2 MB, about one core's second-level cache


@dataclass(frozen=True)
class WorldSample:
    """One image.

    `image`: uint8 (3, size, size). `shape`, `texture`: labels, ABSENT where not shown. `mask`:
    bool (size, size), true on the object. `box`: float64 (4,), left, top, right, bottom in pixels.
    """

    image: npt.NDArray[np.uint8]
    shape: int
    texture: int
    mask: npt.NDArray[np.bool_]
    box: Array


@dataclass(frozen=True)
class WorldBatch:
    """Several images: the fields of WorldSample with a leading axis n."""

    image: npt.NDArray[np.uint8]
    shape: Int64
    texture: Int64
    mask: npt.NDArray[np.bool_]
    box: Array


@dataclass(frozen=True)
class ShapeTexture:
    """A data set of the bundled world.

    `split`: one of SPLITS. `size`: height and width, pixels, 32 to 224; the scene does not depend
    on it. `num_images`: how many indices are valid; image i does not depend on it. `seed`: another
    seed is another draw of the same distribution (train 0, test 1). `num_shapes`, `num_textures`:
    the first so many of SHAPES and TEXTURES. `label`: which of the two `class_names` names.
    Raises ValueError for a value outside these ranges.

    >>> labels = ShapeTexture(split="aligned").labels([0, 1, 2])
    >>> [(SHAPES[k], TEXTURES[k]) for k in labels["texture"]]
    [('heart', 'grid'), ('ring', 'blotches'), ('disc', 'stripes')]
    """

    split: str = "independent"
    size: int = 64
    num_images: int = 8000
    seed: int = 0
    num_shapes: int = 8
    num_textures: int = 8
    label: Literal["shape", "texture"] = "shape"

    def __post_init__(self) -> None:
        _require(self.split in SPLITS, "split", f"one of {SPLITS}", self.split)
        _require(self.label in ("shape", "texture"), "label", "'shape' or 'texture'", self.label)
        low, high = SIZES
        _require(low <= self.size <= high, "size", f"{low} to {high} pixels", self.size)
        _require(self.num_images >= 0, "num_images", "0 or more", self.num_images)
        _require(0 <= self.seed < 2**64, "seed", "0 to 2^64 - 1", self.seed)
        for name, known in (("num_shapes", SHAPES), ("num_textures", TEXTURES)):
            value = getattr(self, name)
            _require(2 <= value <= len(known), name, f"2 to {len(known)} ({known})", value)
        if self.split in ("aligned", "conflict"):
            rule = f"num_shapes ({self.num_shapes}), as split {self.split!r} pairs them"
            _require(self.num_textures == self.num_shapes, "num_textures", rule, self.num_textures)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of `label`, in the order of their numbers."""
        shape = self.label == "shape"
        return SHAPES[: self.num_shapes] if shape else TEXTURES[: self.num_textures]

    def __len__(self) -> int:
        return self.num_images

    def labels(self, indices: npt.ArrayLike) -> dict[str, Int64]:
        """Return {"shape", "texture"}: int64 (n,), ABSENT where the split does not show it."""
        return self._labels(self._checked(indices))

    def parameters(self, indices: npt.ArrayLike) -> dict[str, npt.NDArray]:
        """Return everything drawn for these images, each with leading axis n, without rendering.

        `shape` and `texture` as in `labels`; the rest as in `scene.parameters`.
        """
        indices = self._checked(indices)
        return {**self._labels(indices), **scene.parameters(self.seed, indices)}

    def render(self, indices: npt.ArrayLike) -> WorldBatch:
        """Draw these images. Memory beyond the result stays bounded: chunks of few images."""
        indices = self._checked(indices)
        step = max(1, _CHUNK_PIXELS // self.size**2)
        parts = [self._draw(indices[i : i + step]) for i in range(0, max(len(indices), 1), step)]
        image = np.concatenate([image for image, _ in parts])
        mask = np.concatenate([mask for _, mask in parts])
        labels = self._labels(indices)
        return WorldBatch(image, labels["shape"], labels["texture"], mask, self.boxes(indices))

    def boxes(self, indices: npt.ArrayLike) -> Array:
        """Return float64 boxes (n, 4) from the shape's geometry; the frame where there is none.

        Rounded to a millionth of a pixel, which hides the last bits of other machines' cosines.
        """
        indices = self._checked(indices)
        drawn, shape = scene.placement(self.seed, indices), self._labels(indices)["shape"]
        box = np.tile([0.0, 0.0, 1.0, 1.0], (len(indices), 1))
        for label in np.unique(shape[shape != ABSENT]):
            chosen = shape == label
            geometry = (drawn[name][chosen] for name in ("scale", "rotation", "position"))
            box[chosen] = shapes.bounding_box(label, *geometry)
        return np.round(box * self.size, 6)

    def __getitem__(self, index: int) -> WorldSample:
        batch = self.render([index])
        shape, texture = int(batch.shape[0]), int(batch.texture[0])
        return WorldSample(batch.image[0], shape, texture, batch.mask[0], batch.box[0])

    def _checked(self, indices: npt.ArrayLike) -> Int64:
        indices = np.atleast_1d(np.asarray(indices))
        if indices.size == 0:
            return np.zeros(0, dtype=np.int64)
        if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
            raise ValueError(
                f"indices: expected one axis of integers, got {indices.dtype} of shape "
                f"{indices.shape}; pass a list or an int array."
            )
        wrong = indices[(indices < 0) | (indices >= self.num_images)]
        if wrong.size:
            raise IndexError(
                f"index {wrong[0]}: expected 0 to {self.num_images - 1}; raise num_images to draw "
                "more, the earlier images stay as they are."
            )
        return indices.astype(np.int64)

    def _labels(self, indices: Int64) -> dict[str, Int64]:
        def draw(stream: str, count: int) -> Int64:
            u = counter_random.uniforms(self.seed, indices, stream, 1)[:, 0]
            return np.floor(u * count).astype(np.int64)

        shape = draw("shape", self.num_shapes)
        if self.split == "aligned":
            texture = shape
        elif self.split == "conflict":
            other = 1 + draw("texture", self.num_textures - 1)
            texture = (shape + other) % self.num_textures
        else:
            texture = draw("texture", self.num_textures)
        absent = np.full_like(shape, ABSENT)
        return {
            "shape": absent if self.split == "texture_only" else shape,
            "texture": absent if self.split == "silhouette" else texture,
        }

    def _draw(self, indices: Int64) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """Return images and masks of one chunk; images of one class are drawn together."""
        drawn = self.parameters(indices)
        pixel = 1 / self.size
        axis = ((np.arange(self.size) + 0.5) * pixel).astype(np.float32)
        distance, share = np.full((2, len(indices), self.size, self.size), -1.0, dtype=np.float32)
        for label in range(self.num_shapes):
            (rows,) = np.nonzero(drawn["shape"] == label)
            x, y = _turned(drawn["position"][rows], drawn["rotation"][rows], axis)
            scale = drawn["scale"][rows, None, None].astype(np.float32)
            distance[rows] = shapes.signed_distance(label, x / scale, y / scale) * scale
        share[drawn["texture"] == ABSENT] = 0.0
        for label in range(self.num_textures):
            (rows,) = np.nonzero(drawn["texture"] == label)
            period = drawn["texture_period"][rows]
            origin = drawn["position"][rows] + drawn["texture_shift"][rows] * period[:, None]
            x, y = _turned(origin, drawn["texture_angle"][rows], axis)
            share[rows] = textures.pattern(label, x, y, period, pixel, drawn["waves"][rows])
        cover = np.clip(0.5 - distance / np.float32(pixel), 0, 1)
        return self._composed(indices, drawn, axis, cover, share), distance <= 0

    def _composed(
        self, indices: Int64, drawn: dict[str, Array], axis: Array, cover: Array, share: Array
    ) -> npt.NDArray[np.uint8]:
        """Return uint8 images (n, 3, size, size): the object's tones over the background."""
        keys = counter_random.stream_keys(self.seed, indices, "noise")
        ground = backgrounds.noise(keys, self.size)
        ground *= drawn["background_contrast"][:, None, None].astype(np.float32)
        ground += backgrounds.clutter(
            drawn["blob_centre"], drawn["blob_radii"], drawn["blob_angle"], drawn["blob_height"],
            axis, axis,
        )  # fmt: skip
        image = np.empty((len(indices), 3, self.size, self.size), dtype=np.uint8)
        colour = drawn["background_colour"].astype(np.float32)[:, :, None, None]
        tones = drawn["tones"].astype(np.float32)[..., None, None]
        for channel in range(3):
            first, second = tones[:, 0, channel], tones[:, 1, channel]
            below = ground + colour[:, channel]
            value = below + cover * (first + share * (second - first) - below)
            image[:, channel] = np.rint(np.clip(value, 0, 1) * 255)
        return image


def _require(condition: bool, name: str, expected: str, got: object) -> None:
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {got!r}; change {name}.")


def _turned(origin: Array, angle: Array, axis: Array) -> tuple[Array, Array]:
    """Return float32 pixel coordinates (n, size, size) about `origin`, turned back by `angle`."""
    cos, sin = np.cos(angle), np.sin(angle)
    ox, oy = origin[:, 0], origin[:, 1]
    rows = [[cos, sin, -cos * ox - sin * oy], [-sin, cos, sin * ox - cos * oy]]
    planes = []
    for a, b, shift in np.array(rows).astype(np.float32):
        along = a[:, None] * axis + shift[:, None]
        planes.append(along[:, None, :] + (b[:, None] * axis)[:, :, None])
    return planes[0], planes[1]
