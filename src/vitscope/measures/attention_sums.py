"""Sums over blocks of query rows that several attention measures are made of.

Added up over any split of the rows they give the same as the whole matrix, which so need not exist.
"""

import torch
from einops import reduce

from vitscope.axes import Attention, PatchGrid, PerImageHead, PerImageKey
from vitscope.measures.inputs import at_least_float32, query_rows


def row_entropy_sum(attention: Attention, grid: PatchGrid, rows: slice) -> PerImageHead:
    """Entropy of each query's weights in nats, 0 log 0 = 0, summed over the given query rows."""
    entropy = torch.special.entr(query_rows(attention, grid, rows))
    return reduce(entropy, "image head query key -> image head", "sum")


def key_mass(attention: Attention, grid: PatchGrid, rows: slice) -> PerImageKey:
    """Attention that each key receives, summed over the given query rows."""
    attention = query_rows(attention, grid, rows)
    return reduce(attention, "image head query key -> image head key", "sum")


def smoothed(attention: Attention, smoothing: float) -> Attention:
    """Weights with a constant added to each, and rows made to sum to 1 again.

    This is how the published recipes keep away from log 0; the definitions here need no such
    constant. In paper mode the sums are taken of what this returns.

    Args:
        attention: Weights among patches. The published recipes add the constant after dropping
            the prefix tokens and before renormalising, so rows may sum to less than 1.
        smoothing: What is added to every weight, at least 0.

    Returns:
        Weights in float32 or wider, each row summing to 1.

    Source:
        cl-vs-mim `self_attention_analysis.ipynb`.

    Example:
        >>> smoothed(torch.tensor([[[[0.5, 0.0]]]]), smoothing=0.25)
        tensor([[[[0.7500, 0.2500]]]])
    """
    weights = at_least_float32(attention) + smoothing
    return weights / weights.sum(dim=-1, keepdim=True)
