"""The bundled world as a source: `ShapeTexture`'s images, drawn on first use."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from vitscope.data.shape_texture import ABSENT, ShapeTexture
from vitscope.data.source import HeldSource

CHUNK = 64  # images drawn at once; beyond some tens, drawing gets no cheaper per image


class WorldSource(HeldSource):
    """Images of the bundled world; seed 0 is the training set, seed 1 the test set.

    Images are drawn in chunks on first use and held: `3 * size * size` bytes each.

    Args:
        world: What to draw. A split that does not show `world.label` makes an unlabelled source.
        positions: int64 (image,), which of the world's images; None: all.
    """

    def __init__(self, world: ShapeTexture, positions: np.ndarray | None = None) -> None:
        self.world = world
        self.positions = np.arange(len(world)) if positions is None else np.asarray(positions)
        labels = world.labels(self.positions)[world.label]
        labelled = not (labels == ABSENT).any()
        super().__init__(
            name=_name(world),
            num_images=len(self.positions),
            size=(world.size, world.size),
            chunk=CHUNK,
            labels=labels if labelled else None,
            class_names=world.class_names if labelled else (),
        )

    def read(self, positions: np.ndarray) -> Tensor:
        """Draw images."""
        return torch.from_numpy(self.world.render(self.positions[positions]).image)

    def take(self, positions: np.ndarray) -> "WorldSource":
        """See Source."""
        return WorldSource(self.world, self.positions[positions])


def _name(world: ShapeTexture) -> str:
    """Split, size and seed, and whatever else makes other images or labels than the default."""
    name = f"world {world.split} {world.size} px, seed {world.seed}"
    for option in ("num_shapes", "num_textures"):
        if getattr(world, option) != getattr(ShapeTexture, option):
            name += f", {option} {getattr(world, option)}"
    return f"{name} ({world.label})"


OPTIONS = tuple(field.name for field in dataclasses.fields(ShapeTexture) if field.name != "split")
