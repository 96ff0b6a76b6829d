"""Shapes of tiny encoders under the names of the official repositories, and values for them.

They are written from the official definitions, not taken from timm. Axes that are told apart by
length alone differ: 24 channels, 3 heads of 8, 2 blocks, 3 x 3 patches of 4 pixels.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from tests import deterministic

CHANNELS, HEADS, DEPTH, SIDE, PATCH, MLP = 24, 3, 2, 3, 4, 60
PATCHES = SIDE * SIDE
Weights = dict[str, Tensor]

Shapes = dict[str, tuple[int, ...]]


def filled(shapes: Shapes, prefix: str = "") -> Weights:
    """Values that depend on the name alone, far enough from zero that attention is not uniform."""
    return {
        name: 2 * deterministic.weight(prefix + name, shape).float()
        for name, shape in shapes.items()
    }


def prefixed(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


def linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str) -> Shapes:
    return {f"{name}.weight": (CHANNELS,), f"{name}.bias": (CHANNELS,)}


def block(index: int, *, gated: bool = False, split_bias: bool = False) -> Shapes:
    """Shapes of one block: fused q, k and v with a bias, or with biases of q and v alone."""
    at = f"blocks.{index}."
    attention = {f"{at}attn.qkv.weight": (3 * CHANNELS, CHANNELS)}
    if split_bias:
        attention |= {f"{at}attn.{which}_bias": (CHANNELS,) for which in "qv"}
    else:
        attention |= {f"{at}attn.qkv.bias": (3 * CHANNELS,)}
    if gated:
        mlp = linear(f"{at}mlp.w12", CHANNELS, 2 * MLP) | linear(f"{at}mlp.w3", MLP, CHANNELS)
    else:
        mlp = linear(f"{at}mlp.fc1", CHANNELS, MLP) | linear(f"{at}mlp.fc2", MLP, CHANNELS)
    return {
        **norm(f"{at}norm1"),
        **attention,
        **linear(f"{at}attn.proj", CHANNELS, CHANNELS),
        **norm(f"{at}norm2"),
        **mlp,
    }


def plain(
    positions: int | None = PATCHES + 1, last: Iterable[str] = ("norm",), **parts: bool
) -> Shapes:
    """Shapes of an encoder; `positions` None: without a table of absolute positions."""
    shapes: Shapes = {"cls_token": (1, 1, CHANNELS)}
    if positions is not None:
        shapes["pos_embed"] = (1, positions, CHANNELS)
    shapes["patch_embed.proj.weight"] = (CHANNELS, 3, PATCH, PATCH)
    shapes["patch_embed.proj.bias"] = (CHANNELS,)
    for index in range(DEPTH):
        shapes |= block(index, **parts)
    for name in last:
        shapes |= norm(name)
    return shapes


def scaled(names: Iterable[str]) -> Shapes:
    """Shapes of LayerScale: `gamma_1` and `gamma_2`, or `ls1.gamma` and `ls2.gamma`."""
    return {f"blocks.{index}.{name}": (CHANNELS,) for index in range(DEPTH) for name in names}


def relative(prefix: str) -> Weights:
    """A table of relative positions and the buffer that official files hold beside it."""
    offsets = (2 * SIDE - 1) ** 2 + 3  # the last three are those of CLS
    table = filled({f"{prefix}relative_position_bias_table": (offsets, HEADS)})
    index = torch.zeros(PATCHES + 1, PATCHES + 1, dtype=torch.long)
    return {**table, f"{prefix}relative_position_index": index}


def with_table(weights: Weights, patches: Tensor) -> Weights:
    return {**weights, "pos_embed": torch.cat([torch.zeros(1, CHANNELS), patches])[None]}


def head(name: str = "head", classes: int = 5) -> Weights:
    return filled(linear(name, CHANNELS, classes))
