"""The momentum encoder: a copy of a module that follows it slowly."""

import copy
import math
from typing import TypeVar

import torch
from torch import nn

ModuleType = TypeVar("ModuleType", bound=nn.Module)


def frozen_copy(module: ModuleType) -> ModuleType:
    """A deep copy that receives no gradients; its batch-norm statistics remain its own."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def update_momentum(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """Move each parameter of `follower` towards `leader`'s; buffers are left alone.

    Args:
        follower: The momentum copy, changed in place.
        leader: The trained module.
        momentum: Share of the old value that is kept, in [0, 1].
    """
    for old, new in zip(follower.parameters(), leader.parameters(), strict=True):
        old.mul_(momentum).add_(new.detach(), alpha=1 - momentum)


def cosine_momentum(progress: float, start: float) -> float:
    """Momentum after a share of the training: from `start` at 0 to 1 at 1, along a half cosine.

    Args:
        progress: Share of the training done, in [0, 1]; fractional epoch / epochs.
        start: Momentum at the start; MoCo v3 uses 0.99.

    Source:
        moco-v3 `main_moco.py`, `adjust_moco_momentum`.

    Example:
        >>> cosine_momentum(0.5, 0.99)
        0.995
    """
    return 1 - (1 - start) * 0.5 * (1 + math.cos(math.pi * progress))
