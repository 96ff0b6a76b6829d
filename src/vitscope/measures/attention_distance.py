"""Attention distance: how far, in input pixels, a head looks."""

import torch
from einops import reduce

from vitscope.axes import Attention, PatchGrid, PerImageHead
from vitscope.measures.inputs import ALL_ROWS, query_rows
from vitscope.measures.measure import Measure


def attention_distance(attention: Attention, grid: PatchGrid) -> PerImageHead:
    """Mean distance from a query patch to the patches it attends to.

    Args:
        attention: Softmax weights among patches; each row sums to 1.
        grid: Where the patches lie, in input pixels.

    Returns:
        Pixels, from 0 (every patch looks only at itself) to the diagonal between the outermost
        patch centres. Averaged over query patches, not over images.

    Raises:
        ValueError: If the attention is not among the patches of this grid.

    Source:
        arXiv:2010.11929 section 4.5; cl-vs-mim `self_attention_analysis.ipynb`. The reference code
        assumes a square grid and a patch of 16 px; this does not.

    Example:
        >>> attention = torch.full((1, 1, 2, 2), 0.5)
        >>> attention_distance(attention, PatchGrid(1, 2, patch_height=16, patch_width=16))
        tensor([[8.]])
    """
    return _mean(distance_sum(attention, grid, ALL_ROWS), num_queries=attention.shape[-2])


def distance_sum(attention: Attention, grid: PatchGrid, rows: slice) -> PerImageHead:
    """Attention-weighted distance in pixels, summed over the given query rows."""
    attention = query_rows(attention, grid, rows)
    centres = grid.centres.to(attention)
    # The direct form: torch's matrix-product shortcut for more than 25 points loses exact zeros.
    distance = torch.cdist(centres[rows], centres, compute_mode="donot_use_mm_for_euclid_dist")
    # A product and a sum, not a matrix product, which autocast and TF32 would make less precise.
    return reduce(attention * distance, "image head query key -> image head", "sum")


def uniform_distance(grid: PatchGrid) -> float:
    """Attention distance of uniform attention: the mean distance between two patches."""
    centres = grid.centres
    return torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist").mean().item()


def _mean(total: PerImageHead, num_queries: int) -> PerImageHead:
    return total / num_queries


MEASURE = Measure(
    function=attention_distance,
    reads="attention",
    title="Attention distance",
    reading="Low: heads look near the query. At the dashed line: no different from uniform.",
    unit="px",
    low=0.0,
    source="arXiv:2010.11929, arXiv:2305.00729",
    sums=(distance_sum,),
    combine=_mean,
    # The notebook adds 1e-32 to each weight, which changes none that float32 tells from 0.
    baseline=uniform_distance,
)
