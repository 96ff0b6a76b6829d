"""Draw the bundled world for a person to judge: every shape with every texture, and every split.

    python benchmarks/world_contact_sheet.py --out /tmp/world.png

Takes a few seconds on one core.
"""

from __future__ import annotations

import argparse

import matplotlib

matplotlib.use("Agg")  # writes a file: no display needed
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from vitscope.data.shape_texture import SHAPES, SPLITS, TEXTURES, ShapeTexture


def draw_pairs(axes: np.ndarray, size: int, seed: int) -> None:
    """Fill a grid (shape, texture) with the first image of each pair."""
    world = ShapeTexture(
        size=size,
        num_images=20_000,
        seed=seed,
        num_shapes=len(SHAPES),
        num_textures=len(TEXTURES),
    )
    labels = world.labels(np.arange(len(world)))
    for (shape, texture), axis in np.ndenumerate(axes):
        found = (labels["shape"] == shape) & (labels["texture"] == texture)
        axis.imshow(world[int(np.argmax(found))].image.transpose(1, 2, 0))
        if shape == 0:
            axis.set_title(TEXTURES[texture], fontsize=8)
        if texture == 0:
            axis.set_ylabel(SHAPES[shape], fontsize=8)


def draw_splits(axes: np.ndarray, size: int, seed: int) -> None:
    """Fill one row per split with images 0, 1, 2, ...; then the masks and boxes of the first."""
    columns = np.arange(axes.shape[1])
    for row, split in zip(axes, SPLITS, strict=False):
        batch = ShapeTexture(split=split, size=size, seed=seed).render(columns)
        for axis, image in zip(row, batch.image, strict=True):
            axis.imshow(image.transpose(1, 2, 0))
        row[0].set_ylabel(split, fontsize=8)
    batch = ShapeTexture(split=SPLITS[0], size=size, seed=seed).render(columns)
    for axis, mask, box in zip(axes[-1], batch.mask, batch.box, strict=True):
        axis.imshow(mask, cmap="gray")
        left, top, right, bottom = box - 0.5  # imshow puts pixel centres on whole numbers
        axis.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec="tab:red"))
    axes[-1, 0].set_ylabel("mask, box", fontsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="the PNG file to write")
    parser.add_argument("--size", type=int, default=64, help="image size in pixels (64)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows, columns = len(SHAPES), len(TEXTURES)
    figure, axes = plt.subplots(
        rows + len(SPLITS) + 1,
        columns,
        figsize=(columns * 1.1, (rows + len(SPLITS) + 1) * 1.1),
        gridspec_kw={"wspace": 0.04, "hspace": 0.04},
    )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    draw_pairs(axes[:rows], arguments.size, arguments.seed)
    draw_splits(axes[rows:], arguments.size, arguments.seed)
    figure.savefig(arguments.out, dpi=130, bbox_inches="tight")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
