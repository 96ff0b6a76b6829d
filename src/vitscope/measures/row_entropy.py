"""Row entropy: over how many patches each query spreads its attention."""

import math

import torch

from vitscope.axes import Attention, PatchGrid, PerImageHead
from vitscope.measures.attention_sums import row_entropy_sum
from vitscope.measures.inputs import ALL_ROWS
from vitscope.measures.measure import Measure


def row_entropy(attention: Attention, grid: PatchGrid) -> PerImageHead:
    """Mean entropy of a query's attention, as a share of the largest possible.

    One of the two terms of `normalized_mutual_information`; `key_entropy` is the other.

    Args:
        attention: Softmax weights among patches; each row sums to 1.
        grid: Where the patches lie; only their number N matters.

    Returns:
        H(p_q) / ln N, from 0 (each query looks at a single patch) to 1 (each looks at all patches
        alike); 0 if there is one patch only. Averaged over query patches, not over images.

    Raises:
        ValueError: If the attention is not among the patches of this grid.

    Source:
        Attention entropy of arXiv:2303.06296, in nats there and among all tokens; divided by ln N
        here, so that grids can be compared.

    Example:
        >>> attention = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
        >>> row_entropy(attention, PatchGrid(1, 2))
        tensor([[0.5000]])
    """
    return _share(row_entropy_sum(attention, grid, ALL_ROWS), num_queries=attention.shape[-2])


def _share(total: PerImageHead, num_queries: int) -> PerImageHead:
    if num_queries == 1:
        return torch.zeros_like(total)
    return total / (num_queries * math.log(num_queries))  # as many keys as queries


def uniform_value(grid: PatchGrid) -> float:
    """Value for uniform attention: uniform rows."""
    return 1.0


MEASURE = Measure(
    function=row_entropy,
    reads="attention",
    title="Row entropy",
    reading="Low: each query looks at few patches. At 1: each looks at all patches alike.",
    unit="",
    low=0.0,
    high=1.0,
    source="arXiv:2303.06296",
    sums=(row_entropy_sum,),
    combine=_share,
    baseline=uniform_value,
)
