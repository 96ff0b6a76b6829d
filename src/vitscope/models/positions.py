"""Tables of absolute positions: which fixed one it is, and how a learned one is resampled."""

import math
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import interpolate

from vitscope.models.published import Resampling
from vitscope.models.vit import sincos_positions

TABLE_TOLERANCE = 2e-3  # of a table in bfloat16, whose values up to 1 are rounded by 2**-9


def mae_positions(rows: int, columns: int, embed_dim: int) -> Tensor:
    """MAE's fixed position table: the first half of the channels encodes the column.

    Args:
        rows: Patch rows.
        columns: Patch columns.
        embed_dim: Channels, a multiple of 4.

    Returns:
        Shape (rows * columns, embed_dim), in [-1, 1]: MoCo v3's table with its halves swapped.

    Source:
        mae `util/pos_embed.py`, which takes the column first.
    """
    row, column = sincos_positions(rows, columns, embed_dim).chunk(2, dim=1)
    return torch.cat([column, row], dim=1)


def fixed_order(table: Tensor) -> Literal["row", "column"] | None:
    """Which axis a fixed sine-cosine table encodes first: MoCo v3's the row, MAE's the column.

    Args:
        table: Shape (1, 1 + patch, channel), CLS first.

    Returns:
        None if it is neither on any grid of that many patches: a learned table.

    Example:
        >>> cls, patches = torch.zeros(1, 8), mae_positions(3, 3, 8)
        >>> fixed_order(torch.cat([cls, patches])[None])
        'column'
    """
    if table.ndim != 3 or table.shape[-1] % 4:
        return None
    num_patches, embed_dim = table.shape[1] - 1, table.shape[2]
    for rows in (n for n in range(1, num_patches + 1) if num_patches % n == 0):
        row_first = sincos_positions(rows, num_patches // rows, embed_dim)
        column_first = mae_positions(rows, num_patches // rows, embed_dim)
        if torch.allclose(table[0, 1:].float(), row_first, rtol=0, atol=TABLE_TOLERANCE):
            return "row"
        if torch.allclose(table[0, 1:].float(), column_first, rtol=0, atol=TABLE_TOLERANCE):
            return "column"
    return None


def square_grid(num_patches: int) -> tuple[int, int] | None:
    """Rows and columns of a square grid; None if the number of patches is no square."""
    side = math.isqrt(max(num_patches, 0))
    return (side, side) if side and side * side == num_patches else None


def resampled_positions(table: Tensor, grid: tuple[int, int], rule: Resampling) -> Tensor:
    """A learned table on another grid, as the authors' own forward pass resamples it.

    Args:
        table: Shape (1, 1 + patch, channel), CLS first; its grid is square.
        grid: Rows and columns wanted.
        rule: The authors' rule.

    Returns:
        Shape (1, 1 + rows * columns, channel); CLS keeps its position.

    Raises:
        ValueError: If the table's grid is not square.

    Source:
        dino, ibot and dinov2 `interpolate_pos_encoding`. The offset, a guard against rounding,
        also shifts where the table is sampled; with offset 0 dinov2 gives the size instead.
    """
    old = square_grid(table.shape[1] - 1)
    if old is None:
        raise ValueError(f"{table.shape[1] - 1} positions are no square grid to resample")
    cls, patches = table[:, :1], table[:, 1:]
    image = rearrange(patches, "1 (row column) channel -> 1 channel row column", row=old[0])
    target: dict[str, object] = {"size": grid}
    if rule.offset:
        scale = tuple((new + rule.offset) / side for new, side in zip(grid, old, strict=True))
        target = {"scale_factor": scale}
    image = interpolate(image.float(), mode="bicubic", antialias=rule.antialias, **target)  # pyright: ignore[reportArgumentType]
    patches = rearrange(image, "1 channel row column -> 1 (row column) channel")
    return torch.cat([cls, patches.to(cls.dtype)], dim=1)
