"""What measures are given, made ready: checked against the grid, in a type that can be summed."""

import torch
from torch import Tensor

from vitscope.axes import Attention, PatchGrid, PatchTokens

ALL_ROWS = slice(None)


def query_rows(attention: Attention, grid: PatchGrid, rows: slice) -> Attention:
    """The given query rows of the attention among a grid's patches, in float32 or wider.

    Args:
        attention: Softmax weights; its queries are the patches `rows`, its keys all patches.
        grid: Where the patches lie.
        rows: Which patches are the queries; `ALL_ROWS` for a whole matrix.

    Returns:
        The same weights; bfloat16 and float16 are widened, because sums over keys lose in them.

    Raises:
        ValueError: If there is not one key per patch, or not one query per row.
    """
    queries, keys = attention.shape[-2:]
    expected = len(range(grid.num_patches)[rows])
    if keys != grid.num_patches or queries != expected:
        raise ValueError(
            f"expected {expected} queries and {grid.num_patches} keys, as rows {rows} of the "
            f"attention among {grid.height} x {grid.width} patches; got {queries} queries and "
            f"{keys} keys. Drop prefix tokens (CLS, registers) and pass the backbone's grid."
        )
    return at_least_float32(attention)


def patch_tokens(tokens: PatchTokens, grid: PatchGrid) -> PatchTokens:
    """The tokens of a grid's patches, in float32 or wider.

    Raises:
        ValueError: If there is not one token per patch.
    """
    if tokens.shape[-2] != grid.num_patches:
        raise ValueError(
            f"expected {grid.num_patches} tokens, one for each of {grid.height} x {grid.width} "
            f"patches; got {tokens.shape[-2]}. Drop prefix tokens (CLS, registers) and pass the "
            "backbone's grid."
        )
    return at_least_float32(tokens)


def centred(tokens: PatchTokens) -> PatchTokens:
    """Tokens minus the mean token of their image; exactly 0 where all tokens are equal."""
    # The mean of n equal numbers is not always that number once rounded. Starting from the first
    # token, equal tokens become true zeros and not one shared direction of rounding errors.
    from_first = tokens - tokens[:, :1]
    return from_first - from_first.mean(dim=1, keepdim=True)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor, widened to float32 if its type is narrower."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
