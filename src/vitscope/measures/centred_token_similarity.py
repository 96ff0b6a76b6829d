"""Centred token similarity: how alike the patch tokens of one image are beyond what all share."""

from vitscope.axes import PatchGrid, PatchTokens, PerImage
from vitscope.measures.inputs import centred, patch_tokens
from vitscope.measures.measure import Measure
from vitscope.measures.token_similarity import mean_pair_cosine


def centred_token_similarity(tokens: PatchTokens, grid: PatchGrid) -> PerImage:
    """Mean cosine between two different patch tokens, each minus the mean token of its image.

    Args:
        tokens: Patch tokens of one layer.
        grid: Where the patches lie; only their number N matters.

    Returns:
        No unit, from -1 / (N - 1) (directions cancel out, as those of unrelated tokens of equal
        length nearly do) towards 1 (nearly all tokens lie together, a few far away on the other
        side). A token equal to the mean has cosine 0 with any other; so if all tokens are equal
        this is 0. Averaged over all pairs of patches of an image, not over images.

    Raises:
        ValueError: If there is not one token per patch, or fewer than two.

    Source:
        As `token_similarity`; whether arXiv:2305.00729 centres is unknown, so both are measured.

    Example:
        >>> import torch
        >>> tokens = torch.tensor([[[5.0, 1.0], [5.0, -1.0], [5.0, 2.0], [5.0, -2.0]]])
        >>> centred_token_similarity(tokens, PatchGrid(2, 2))  # +1, -1, +1, -1: two pairs of six
        tensor([-0.3333])
    """
    return mean_pair_cosine(centred(patch_tokens(tokens, grid)))


MEASURE = Measure(
    function=centred_token_similarity,
    reads="tokens",
    title="Centred token similarity",
    reading="Just below 0: beyond their mean, tokens are unrelated. High: most still lie together.",
    unit="cosine",
    low=-1.0,
    high=1.0,
    source="arXiv:2305.00729",
)
