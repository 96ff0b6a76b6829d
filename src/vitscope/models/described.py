"""What weights say of the model that they are for, and what a spec or the authors say beside it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from vitscope.models.published import Published
from vitscope.models.spec import Spec, channel_values, positive, sides
from vitscope.models.strict_loading import require_key

BLOCK = re.compile(r"blocks\.(\d+)\.")
OPTIONS: dict[str, Callable[[str], Any]] = {
    "num_heads": positive,
    "eps": float,
    "image_size": sides,
    "mean": channel_values,
    "std": channel_values,
}


class UnknownHeads(ValueError):
    """A file does not hold the number of heads, and nobody states it."""


@dataclass(frozen=True)
class Sizes:
    """Sizes that every Vision Transformer's weights hold.

    Args:
        embed_dim: Channels of a token.
        channels: Of an image.
        patch_size: Height and width in pixels.
        depth: Number of blocks.
        mlp_ratio: Channels after an MLP's first layer, by embed_dim.
    """

    embed_dim: int
    channels: int
    patch_size: tuple[int, int]
    depth: int
    mlp_ratio: float

    @property
    def timm(self) -> dict[str, Any]:
        """The sizes as arguments of timm's models, for an encoder without a head."""
        return {
            "embed_dim": self.embed_dim,
            "in_chans": self.channels,
            "patch_size": self.patch_size,
            "depth": self.depth,
            "mlp_ratio": self.mlp_ratio,
            "num_classes": 0,
        }


def sizes_of(weights: Mapping[str, Tensor], source: str) -> Sizes:
    """Sizes, from the shapes of weights under timm's names.

    Raises:
        ValueError: If a key that holds one is missing, empty or has another number of axes.
    """
    projection = require_key(weights, "patch_embed.proj.weight", 4, source)
    embed_dim, channels, height, width = projection.shape
    mlp_width = require_key(weights, "blocks.0.mlp.fc1.weight", 2, source).shape[0]
    if not (min(projection.shape) and mlp_width):
        raise ValueError(f"expected weights in {source}, got empty tensors for patches or MLP")
    return Sizes(
        embed_dim=embed_dim,
        channels=channels,
        patch_size=(height, width),
        depth=1 + max(int(match[1]) for key in weights if (match := BLOCK.match(key))),
        mlp_ratio=(mlp_width + 0.5) / embed_dim,  # timm rounds the product down
    )


def num_heads(
    stated: int | None, embed_dim: int, published: Published, spec: Spec
) -> tuple[int, str]:
    """Heads per block and where the number comes from: the spec, else the authors' table.

    Raises:
        ValueError: If neither says, or embed_dim is no multiple of what is stated.
    """
    if stated is not None:
        if stated < 1 or embed_dim % stated:
            raise ValueError(
                f"{spec.text!r}: embed_dim {embed_dim} is no multiple of {stated} heads"
            )
        return stated, "the spec"
    if embed_dim not in published.num_heads:
        known = ", ".join(f"{width}: {heads}" for width, heads in published.num_heads.items())
        raise UnknownHeads(
            f"a file does not hold the number of heads, and embed_dim {embed_dim} is no published "
            f"size ({known}); state it: {spec.kind}:{spec.name}?num_heads=N"
        )
    source = published.source.partition(":")[0]
    return published.num_heads[embed_dim], f"embed_dim {embed_dim} in {source}"


def layer_norm(options: Mapping[str, Any], published: Published) -> Any:
    """LayerNorm with the spec's epsilon, else the authors'.

    Raises:
        ValueError: If the epsilon is not positive.
    """
    eps = options.get("eps", published.eps)
    if not eps > 0:
        raise ValueError(f"expected eps above 0, got {eps}")
    return partial(nn.LayerNorm, eps=eps)


def normalisation(
    options: Mapping[str, Any], published: Published, channels: int, spec: Spec
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std that normalise pixels: the spec's, else the authors'.

    Raises:
        ValueError: If there is not one value per channel, or a std is not positive.
    """
    mean, std = options.get("mean", published.mean), options.get("std", published.std)
    if not all(value > 0 for value in std):
        raise ValueError(f"expected every std above 0 for {spec.text!r}, got {std}")
    for what, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise ValueError(
                f"expected the {what} of {channels} channels for {spec.text!r}, got {len(values)}; "
                f"state it: {what}={','.join(['0.5'] * channels)}"
            )
    return mean, std
