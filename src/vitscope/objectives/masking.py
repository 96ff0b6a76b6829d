"""Which patches are hidden."""

import math

import torch
from einops import repeat
from jaxtyping import Bool
from torch import Tensor


def block_mask(
    num_images: int,
    grid: tuple[int, int],
    mask_unit: int,
    mask_ratio: float,
    generator: torch.Generator,
) -> Bool[Tensor, "image patch"]:
    """SimMIM's mask: whole squares of patches, the same number hidden in every image.

    Args:
        num_images: Images, each with a mask of its own.
        grid: Patch rows and columns; multiples of `mask_unit`.
        mask_unit: Side of a square in patches (SimMIM: 32 px / 16 px = 2).
        mask_ratio: Share of the squares that is hidden, in (0, 1]; rounded up to whole squares.
        generator: Source of the randomness.

    Returns:
        True where a patch is hidden. At 224 px with patches of 16: 30 of 49 squares, 120 patches.

    Raises:
        ValueError: If the grid is no multiple of the unit or the ratio is outside (0, 1].

    Source:
        SimMIM `data_simmim.py`, `MaskGenerator`.
    """
    if grid[0] % mask_unit or grid[1] % mask_unit:
        raise ValueError(
            f"expected a patch grid divisible by mask_unit {mask_unit}, got {grid[0]} x {grid[1]}"
        )
    if not 0 < mask_ratio <= 1:
        raise ValueError(f"expected mask_ratio in (0, 1], got {mask_ratio}")
    rows, columns = grid[0] // mask_unit, grid[1] // mask_unit
    num_hidden = math.ceil(mask_ratio * rows * columns)
    order = torch.rand(num_images, rows * columns, generator=generator).argsort(dim=1)
    hidden = torch.zeros(num_images, rows * columns, dtype=torch.bool)
    hidden.scatter_(1, order[:, :num_hidden], True)
    return repeat(
        hidden,
        "image (row column) -> image (row a column b)",
        row=rows,
        a=mask_unit,
        b=mask_unit,
    )
