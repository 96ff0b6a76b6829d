"""Normalised mutual information: how much a head's attention depends on the query."""

import math

from vitscope.axes import Attention, PatchGrid, PerImageHead, PerImageKey
from vitscope.measures.attention_sums import key_mass, row_entropy_sum
from vitscope.measures.inputs import ALL_ROWS
from vitscope.measures.key_entropy import marginal_entropy
from vitscope.measures.measure import Measure


def normalized_mutual_information(attention: Attention, grid: PatchGrid) -> PerImageHead:
    """Mutual information of query and key, over the geometric mean of their entropies.

    With queries equally likely it is (H(mean p_q) - mean H(p_q)) / sqrt(ln N * H(mean p_q)). Low
    values have two causes, uniform attention and one focus that all queries share: `key_entropy`
    tells them apart. High values do not mean near: random maps that differ score high as well.

    Args:
        attention: Softmax weights among patches; each row sums to 1.
        grid: Where the patches lie; only their number N matters.

    Returns:
        No unit, from 0 (every query has the same map, called attention collapse) to 1 (each query
        looks at one patch of its own). 0 where all queries look at one patch, H(mean p_q) = 0.
        Taken over all queries of an image, not averaged over images.

    Raises:
        ValueError: If the attention is not among the patches of this grid.

    Source:
        arXiv:2305.00729; cl-vs-mim `self_attention_analysis.ipynb`. The reference code adds 1e-8 to
        the weights that are left after dropping CLS. That lowers the value by less than 1e-5 on 14
        x 14 patches, but by much more where nearly all attention was on CLS. This is exact.

    Example:
        >>> import torch
        >>> attention = torch.eye(2).reshape(1, 1, 2, 2)
        >>> normalized_mutual_information(attention, PatchGrid(1, 2))
        tensor([[1.]])
    """
    return _normalized(
        row_entropy_sum(attention, grid, ALL_ROWS),
        key_mass(attention, grid, ALL_ROWS),
        num_queries=attention.shape[-2],
    )


def _normalized(
    row_entropy_total: PerImageHead, mass: PerImageKey, num_queries: int
) -> PerImageHead:
    key_entropy = marginal_entropy(mass)
    information = key_entropy - row_entropy_total / num_queries
    normaliser = (math.log(num_queries) * key_entropy).sqrt()
    return (information / normaliser).where(normaliser > 0, 0.0)


def uniform_value(grid: PatchGrid) -> float:
    """Value for uniform attention: all queries look alike."""
    return 0.0


MEASURE = Measure(
    function=normalized_mutual_information,
    reads="attention",
    title="Normalised mutual information",
    reading="At 0: every query has the same map. High: attention depends on the query.",
    unit="",
    low=0.0,
    high=1.0,
    source="arXiv:2305.00729",
    sums=(row_entropy_sum, key_mass),
    combine=_normalized,
    smoothing=1e-8,  # cl-vs-mim `self_attention_analysis.ipynb`
    baseline=uniform_value,
)
