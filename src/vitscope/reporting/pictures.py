"""Exhibits as pictures: small images for the page, mosaics for files."""

import base64
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from vitscope.reporting.style import INK
from vitscope.reporting.wording import listed, shortened
from vitscope.table import Exhibit

MAX_IMAGES = 6  # more pictures of the same kind are scrolled past; all are in the exhibit's file
MAX_SIDE = 320  # pixels; pictures are shown at most half as large, so this is sharp
SMALL = 64  # pixels; up to this size even noise takes only 12 kB exactly
CELL = 96  # pixels of one attention map; a desktop shows it about as large
MARK = (224, 97, 15)  # vermillion: the maps' colours, tan to blue, come nowhere near it
TIMES = 8  # ends of the scale: 8 times the weight of uniform attention, and an 8th of it
SCALE = ("#b8a27c", "#d9cdb6", "#fafaf7", "#9fc3e2", "#4a8cc4", "#1b5591", "#08264f")
SCALE_PLACES = (0.0, 0.25, 0.5, 0.64, 0.78, 0.9, 1.0)  # more steps above uniform than below
WEIGHTS = LinearSegmentedColormap.from_list("weights", list(zip(SCALE_PLACES, SCALE, strict=True)))
GAP = 4
MAX_ACROSS = 6  # maps in a row of a phone: 390 px leave each about 55
RECONSTRUCTION = ("original", "masked", "reconstruction")


@dataclass(frozen=True)
class AttentionPicture:
    """Attention of some models from two queries of one image.

    Args:
        index: Which image of the exhibits, from 0.
        exhibits: One per model, all of this image with these queries and this patch grid.
    """

    index: int
    exhibits: tuple[Exhibit, ...]

    @property
    def queries(self) -> np.ndarray:
        """Row and column of each query on the patch grid, shape (query, 2)."""
        return self.exhibits[0].arrays["queries"][self.index]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        rows, columns = self.exhibits[0].arrays["maps"].shape[-2:]
        return rows, columns

    @property
    def depth(self) -> int:
        """Blocks of the deepest model shown."""
        return max(exhibit.arrays["maps"].shape[2] for exhibit in self.exhibits)

    @property
    def parts(self) -> list[range]:
        """Depths from 0 in runs of about the same length, each a row on a phone."""
        length = math.ceil(self.depth / math.ceil(self.depth / MAX_ACROSS))
        return [range(at, min(at + length, self.depth)) for at in range(0, self.depth, length)]

    @property
    def seen_by(self) -> str:
        """Whose maps these are, and on which grid."""
        names = listed(exhibit.model for exhibit in self.exhibits)
        return f"seen by {names} on {self.grid[0]} × {self.grid[1]} patches"

    def image(self, query: int) -> np.ndarray:
        """The image with a square around the query patch."""
        image = self.exhibits[0].arrays["images"][self.index]
        return marked(image, self.queries[query], self.grid)

    def maps(self, exhibit: Exhibit, query: int) -> np.ndarray:
        """One model's weights from one query, shape (depth, row, column)."""
        return exhibit.arrays["maps"][self.index, query]

    def rows(self) -> pd.DataFrame:
        """Every weight shown, in tidy form."""
        found = []
        for exhibit in self.exhibits:
            for query, (row, column) in enumerate(self.queries):
                maps = self.maps(exhibit, query)
                layer, key_row, key_column = np.indices(maps.shape).reshape(3, -1)
                facts = {"model": exhibit.model, "query_row": row, "query_column": column}
                keys = {"layer": layer + 1, "key_row": key_row, "key_column": key_column}
                found.append(pd.DataFrame({**facts, **keys, "weight": maps.ravel()}))
        return pd.concat(found, ignore_index=True)


def attention_pictures(exhibits: Sequence[Exhibit]) -> Iterator[AttentionPicture]:
    """One picture per image; models that saw the same image from the same queries share it."""
    alike: dict[bytes, list[Exhibit]] = {}
    for exhibit in exhibits:
        if exhibit.name == "attention_maps":
            maps = exhibit.arrays["maps"]
            grid = repr(maps.shape[-2:]).encode()
            images, queries = exhibit.arrays["images"], exhibit.arrays["queries"]
            alike.setdefault(grid + queries.tobytes() + images.tobytes(), []).append(exhibit)
    for group in alike.values():
        for index in range(min(len(group[0].arrays["images"]), MAX_IMAGES)):
            yield AttentionPicture(index, tuple(group))


def strip(maps: np.ndarray, query: Sequence[int]) -> np.ndarray:
    """Attention maps side by side on one scale, the query's patch outlined.

    Args:
        maps: Weights over keys that sum to 1, shape (depth, row, column).
        query: Row and column of the query patch.

    Returns:
        uint8, shape (height, width, 4); each map with half a gap left and right of it. Near white
        is the weight of uniform attention, dark blue `TIMES` times it, tan a `TIMES`th of it.
    """
    rows, columns = maps.shape[-2:]
    scale = max(CELL // max(rows, columns), 1)
    smallest = 1 / TIMES / (rows * columns)  # a weight of zero lies below the scale all the same
    share = np.log(np.maximum(maps, smallest) * rows * columns) / np.log(TIMES)
    tiles = []
    for weights in (share + 1) / 2:
        tile = (255 * WEIGHTS(weights)).astype(np.uint8)
        tile = _outlined(tile.repeat(scale, 0).repeat(scale, 1), query, (rows, columns))
        tiles.append(np.pad(tile, ((0, 0), (GAP // 2, GAP // 2), (0, 0))))
    return np.concatenate(tiles, axis=1)


def marked(image: np.ndarray, query: Sequence[int], grid: tuple[int, int]) -> np.ndarray:
    """The image, enlarged if it is small, with a square around one patch of the grid."""
    factor = max(1, -(-MAX_SIDE // (2 * max(image.shape[:2]))))
    large = image.repeat(factor, 0).repeat(factor, 1)
    return _outlined(large, query, grid, halo=True)


def _outlined(
    image: np.ndarray, query: Sequence[int], grid: tuple[int, int], halo: bool = False
) -> np.ndarray:
    """The image with a frame around one patch; with a halo, white on either side of it."""
    image = image.copy()
    top, bottom = (round((query[0] + i) * image.shape[0] / grid[0]) for i in (0, 1))
    left, right = (round((query[1] + i) * image.shape[1] / grid[1]) for i in (0, 1))
    line = max(2, round(max(image.shape[:2]) / 60))
    bands = [((-line, 2 * line), (255, 255, 255))] if halo else []
    for (inner, outer), colour in [*bands, ((0, line), MARK)]:
        frame = np.zeros(image.shape[:2], dtype=bool)
        frame[max(top - outer, 0) : bottom + outer, max(left - outer, 0) : right + outer] = True
        frame[top - inner : bottom + inner, left - inner : right + inner] = False
        image[frame] = (*colour, 255)[: image.shape[-1]]
    return image


def data_uri(image: np.ndarray) -> str:
    """A photograph (RGB) inside a `src` attribute: at most 320 px, PNG if small, else WebP."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    if max(picture.size) <= SMALL:
        picture.save(data, "png")
        return _uri("png", data)
    picture.save(data, "webp", quality=88)
    return _uri("webp", data)


def strip_uri(strip: np.ndarray) -> str:
    """A strip of maps (RGBA, at most 256 colours) inside a `src` attribute: an exact PNG."""
    height, width, _ = strip.shape
    packed = np.ascontiguousarray(strip).view(np.uint32)  # one number per colour sorts fast
    colours, places = np.unique(packed, return_inverse=True)
    picture = Image.frombytes("P", (width, height), places.astype(np.uint8).tobytes())
    picture.putpalette(colours.tobytes(), "RGBA")
    exact = io.BytesIO()
    picture.save(exact, "png", optimize=True)
    return _uri("png", exact)


def _uri(kind: str, data: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def attention_maps(picture: AttentionPicture, axes: Axes) -> Axes:
    """A mosaic: one row per query and model, the image first, then one map per depth."""
    tiles, names = [], []
    for query, place in enumerate(picture.queries):
        for exhibit in picture.exhibits:
            maps = [strip(each[None], place) for each in picture.maps(exhibit, query)]
            maps = [each[:, GAP // 2 : -GAP // 2, :3] for each in maps]
            tiles.append([picture.image(query), *maps])
            names.append(f"{shortened(exhibit.model)}, query {query + 1}")
    depths = [f"depth {layer + 1}" for layer in range(picture.depth)]
    axes.set_xlabel(f"blue: up to {TIMES} times uniform attention; tan: less")
    return _mosaic(axes, tiles, ["image", *depths], names, CELL)


def reconstructions(exhibit: Exhibit, axes: Axes) -> Axes:
    """A mosaic: one row per image with the original, the masked image and the reconstruction."""
    kinds = [kind for kind in RECONSTRUCTION if kind in exhibit.arrays]
    tiles = list(zip(*(exhibit.arrays[kind][:MAX_IMAGES] for kind in kinds), strict=True))
    names = [f"image {number + 1}" for number in range(len(tiles))]
    return _mosaic(axes, tiles, kinds, names, CELL)


def _mosaic(
    axes: Axes,
    tiles: Sequence[Sequence[np.ndarray]],
    columns: Sequence[str],
    lines: Sequence[str],
    width: int,
) -> Axes:
    """Tiles in rows and columns, each `width` pixels wide and as high as the first one's shape."""
    height = round(width * tiles[0][0].shape[0] / tiles[0][0].shape[1])
    canvas = np.full(
        ((height + GAP) * len(tiles) - GAP, (width + GAP) * len(columns) - GAP, 3), 255, np.uint8
    )
    for line, row in enumerate(tiles):
        for column, tile in enumerate(row):
            small = Image.fromarray(np.ascontiguousarray(tile)).resize((width, height))
            top, left = line * (height + GAP), column * (width + GAP)
            canvas[top : top + height, left : left + width] = np.asarray(small)
    axes.imshow(canvas, interpolation="none")
    axes.set_xticks([(width + GAP) * i + width / 2 for i in range(len(columns))], columns)
    axes.set_yticks([(height + GAP) * i + height / 2 for i in range(len(lines))], lines)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelcolor=INK)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return axes
