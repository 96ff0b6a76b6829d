"""Projector and predictor of contrastive objectives."""

from itertools import pairwise

from torch import nn


def mlp_head(dims: list[int]) -> nn.Sequential:
    """Bias-free linear layers, batch norm after each, ReLU between, no affine after the last.

    Args:
        dims: Widths from input to output, e.g. [384, 4096, 4096, 256] for MoCo v3's projector.

    Returns:
        Maps (image, dims[0]) to (image, dims[-1]). Initialised by torch's defaults, as moco-v3's.

    Source:
        moco-v3 `builder.py`; in its ViT heads the last batch norm has no affine part.
    """
    layers: list[nn.Module] = []
    for number, (width, next_width) in enumerate(pairwise(dims), start=1):
        last = number == len(dims) - 1
        layers.append(nn.Linear(width, next_width, bias=False))
        layers.append(nn.BatchNorm1d(next_width, affine=not last))
        if not last:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)
