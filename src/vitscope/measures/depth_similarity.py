"""Depth similarity: how little a part of the network turns the tokens that pass through it."""

import torch
import torch.nn.functional as F

from vitscope.axes import PatchTokens, PerImage
from vitscope.measures.inputs import at_least_float32
from vitscope.measures.measure import Measure


def depth_similarity(before: PatchTokens, after: PatchTokens) -> PerImage:
    """Mean cosine between a patch token at one place of the network and the same token at another.

    Args:
        before: Patch tokens, such as those that enter a block.
        after: The same tokens at the other place, such as those that leave it.

    Returns:
        No unit, from -1 (every token is reversed) over 0 (turned to a right angle) to 1 (none is
        turned). The cosine with a zero token is 0. Averaged over the patches of an image, not over
        images.

    Raises:
        ValueError: If the two differ in shape.

    Source:
        Cosine similarity between depths, before and after a self-attention, arXiv:2305.00729; its
        code was not released.

    Example:
        >>> before = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
        >>> after = torch.tensor([[[3.0, 0.0], [1.0, 0.0]]])
        >>> depth_similarity(before, after)  # one keeps its direction, one turns by 90 degrees
        tensor([0.5000])
    """
    if before.shape != after.shape:
        raise ValueError(
            "expected the same tokens before and after, of one shape (image, patch, channel); got "
            f"{tuple(before.shape)} and {tuple(after.shape)}"
        )
    before, after = at_least_float32(before), at_least_float32(after)
    # The smallest normal number only keeps 0 / 0 away: a zero token stays zero.
    smallest = torch.finfo(before.dtype).tiny
    return F.cosine_similarity(before, after, dim=-1, eps=smallest).mean(dim=-1)


MEASURE = Measure(
    function=depth_similarity,
    reads="token_pairs",
    title="Depth similarity",
    reading="At 1: the tokens keep their directions. Low: they are turned.",
    unit="cosine",
    low=-1.0,
    high=1.0,
    source="arXiv:2305.00729",
)
