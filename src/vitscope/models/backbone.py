"""A Backbone: any Vision Transformer, with what the rest of the package may assume of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from vitscope.axes import PatchGrid

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False, kw_only=True)
class Backbone:
    """A Vision Transformer and its geometry.

    Args:
        module: Called with normalised images (image, channel, height, width).
        name: Shown in tables and figures.
        blocks: The transformer blocks in order; block i makes the tokens of layer i + 1.
        num_heads: Attention heads per block.
        embed_dim: Channels of a token.
        grid: Rows and columns of patches at `image_size`, and their size in input pixels.
        image_size: Height and width in pixels that the module takes.
        num_prefix_tokens: Tokens before the patches (CLS, distillation, registers).
        mean: Per-channel mean that normalises pixels in [0, 1].
        std: Per-channel standard deviation, likewise.
        facts: What a report should say of the weights: spec, sha256, branch, licence, ...
    """

    module: nn.Module
    name: str
    blocks: tuple[nn.Module, ...]
    num_heads: int
    embed_dim: int
    grid: PatchGrid
    image_size: tuple[int, int]
    num_prefix_tokens: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Number of transformer blocks; tokens exist at layers 0 (embedding) to depth."""
        return len(self.blocks)

    def notes(self) -> dict[str, object]:
        """What a Table notes of the model: its facts, size and geometry."""
        return {
            **self.facts,
            "num_parameters": sum(part.numel() for part in self.module.parameters()),
            "depth": self.depth,
            "num_heads": self.num_heads,
            "embed_dim": self.embed_dim,
            "image_size": "x".join(map(str, self.image_size)),
            "patch_size": "x".join(map(str, self.patch_size)),
            "num_prefix_tokens": self.num_prefix_tokens,
        }

    def layers(self, wanted: Sequence[int] | str | None) -> tuple[int, ...]:
        """Depths that were asked for.

        Args:
            wanted: Depths from 0 (embedding) to `depth`; None or "all": all of them.

        Raises:
            ValueError: If one is no such depth, or there are none.
        """
        every = tuple(range(self.depth + 1))
        if wanted is None or wanted == "all":
            return every
        if isinstance(wanted, Sequence) and wanted and all(layer in every for layer in wanted):
            return tuple(wanted)  # pyright: ignore[reportReturnType]  # strings are not in `every`
        raise ValueError(
            f'{self.name} has layers 0 to {self.depth}: expected some of these, or "all"; got '
            f"{wanted!r}"
        )

    @property
    def device(self) -> torch.device:
        """Where the module is, and images must be."""
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the module, and of the images that it takes."""
        return next(part.dtype for part in self.module.parameters() if part.is_floating_point())

    def to(self, device: str) -> "Backbone":
        """Move the module, in place.

        Args:
            device: As torch names it: "cpu", "cuda", "cuda:1", "mps".

        Raises:
            ValueError: If there is no such device here.
        """
        try:
            self.module.to(torch.device(device))
        except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has all three
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"expected a device that is here, such as cpu or cuda; got {device!r} ({reason})"
            ) from error
        return self

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch in input pixels."""
        return self.grid.patch_height, self.grid.patch_width
