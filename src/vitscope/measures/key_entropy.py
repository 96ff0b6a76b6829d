"""Key entropy: over how many patches the attention of all queries together spreads."""

import math

import torch

from vitscope.axes import Attention, PatchGrid, PerImageHead, PerImageKey
from vitscope.measures.attention_sums import key_mass
from vitscope.measures.inputs import ALL_ROWS
from vitscope.measures.measure import Measure


def key_entropy(attention: Attention, grid: PatchGrid) -> PerImageHead:
    """Entropy of the attention that patches receive, as a share of the largest possible.

    Where queries do not differ (mutual information 0), 1 says that they look everywhere alike, and
    a low value that they share one focus, as on an object or an attention sink.

    Args:
        attention: Softmax weights among patches; each row sums to 1.
        grid: Where the patches lie; only their number N matters.

    Returns:
        H(mean over queries of p_q) / ln N, from 0 (all queries look at one and the same patch) to
        1 (every patch receives the same); 0 if there is one patch only.

    Raises:
        ValueError: If the attention is not among the patches of this grid.

    Source:
        The key term of the mutual information in arXiv:2305.00729, on its own.

    Example:
        >>> attention = torch.eye(2).reshape(1, 1, 2, 2)
        >>> key_entropy(attention, PatchGrid(1, 2))
        tensor([[1.]])
    """
    return _share(key_mass(attention, grid, ALL_ROWS), num_queries=attention.shape[-2])


def marginal_entropy(mass: PerImageKey) -> PerImageHead:
    """Entropy in nats, at least 0, of the distribution that is proportional to `mass`."""
    # Divided by its own sum, not by the number of queries: rounding (half precision above all)
    # could else give a probability above 1, and a negative entropy.
    return torch.special.entr(mass / mass.sum(dim=-1, keepdim=True)).sum(dim=-1)


def _share(mass: PerImageKey, num_queries: int) -> PerImageHead:
    entropy = marginal_entropy(mass)
    if num_queries == 1:
        return torch.zeros_like(entropy)
    return entropy / math.log(num_queries)  # as many keys as queries


def uniform_value(grid: PatchGrid) -> float:
    """Value for uniform attention: every key receives the same."""
    return 1.0


MEASURE = Measure(
    function=key_entropy,
    reads="attention",
    title="Key entropy",
    reading="Low: all queries together look at few patches. At 1: every patch receives the same.",
    unit="",
    low=0.0,
    high=1.0,
    source="arXiv:2305.00729",
    sums=(key_mass,),
    combine=_share,
    baseline=uniform_value,
)
