"""Token similarity: how alike the patch tokens of one image are."""

import torch
import torch.nn.functional as F

from vitscope.axes import PatchGrid, PatchTokens, PerImage
from vitscope.measures.inputs import patch_tokens
from vitscope.measures.measure import Measure


def token_similarity(tokens: PatchTokens, grid: PatchGrid) -> PerImage:
    """Mean cosine between two different patch tokens of an image.

    A direction that all tokens share, such as the bias of a LayerNorm, brings it near 1 whatever
    else they carry; `centred_token_similarity` is free of that.

    Args:
        tokens: Patch tokens of one layer.
        grid: Where the patches lie; only their number N matters.

    Returns:
        No unit, from -1 / (N - 1) (as far apart as N directions can be) over about 0 (unrelated)
        to 1 (all point the same way). The cosine with a zero token is 0. Averaged over all pairs
        of patches of an image, not over images.

    Raises:
        ValueError: If there is not one token per patch, or fewer than two.

    Source:
        Cosine similarity between spatial coordinates, arXiv:2305.00729; its code was not released.

    Example:
        >>> tokens = torch.tensor([[[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]]])
        >>> token_similarity(tokens, PatchGrid(1, 3))  # one pair in three is alike
        tensor([0.3333])
    """
    return mean_pair_cosine(patch_tokens(tokens, grid))


def mean_pair_cosine(tokens: PatchTokens) -> PerImage:
    """Mean cosine over all pairs of different tokens of an image, in time linear in their number.

    Raises:
        ValueError: If there are fewer than two tokens.
    """
    num_tokens = tokens.shape[1]
    if num_tokens < 2:
        raise ValueError(f"expected at least 2 tokens per image to compare, got {num_tokens}")
    # The smallest normal number only keeps 0 / 0 away: a zero token stays zero.
    units = F.normalize(tokens, dim=-1, eps=torch.finfo(tokens.dtype).tiny)
    # |sum of units|^2 is the sum of the cosines of all ordered pairs, a token with itself included.
    all_pairs = units.sum(dim=1).square().sum(dim=-1)
    with_itself = units.square().sum(dim=(1, 2))
    return (all_pairs - with_itself) / (num_tokens * (num_tokens - 1))


MEASURE = Measure(
    function=token_similarity,
    reads="tokens",
    title="Token similarity",
    reading="At 1: all tokens of an image point the same way. Near 0: they are unrelated.",
    unit="cosine",
    low=-1.0,
    high=1.0,
    source="arXiv:2305.00729",
)
