"""One vector per image and layer: the only way in which probes read a backbone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from vitscope.axes import Images
from vitscope.evaluation.ridge import Features
from vitscope.models.backbone import Backbone
from vitscope.tracing import trace

PIXEL_SIDE = 16  # raw pixels are averaged to 16 x 16: 768 features, as many as ViT-B has channels


@dataclass(frozen=True)
class FeatureSpec:
    """What a probe reads, the same for fitting and testing, and stored with every score.

    Args:
        layers: Depths that are read; 0 is the embedding.
        poolings: Name and columns of each pooling within the feature vector.
        num_features: Length of the feature vector.
        extract: Normalised images (image, channel, height, width) to (layer, image, feature), in
            evaluation mode, without gradient.
        description: In words, for the report.
    """

    layers: tuple[int | None, ...]
    poolings: dict[str, slice]
    num_features: int
    extract: Callable[[Images], Features]
    description: str


def token_features(backbone: Backbone, layers: tuple[int, ...]) -> FeatureSpec:
    """CLS token and mean patch token of each layer, from the residual stream without final norm.

    Without prefix tokens there is no CLS, and only the mean is read.
    """
    prefix, channels = backbone.num_prefix_tokens, backbone.embed_dim
    mean = slice(0, channels)
    poolings = {"mean": mean}
    if prefix:
        poolings |= {"cls": slice(channels, 2 * channels), "cls+mean": slice(0, 2 * channels)}

    def pooled(tokens: Tensor) -> Tensor:
        patches = tokens[:, prefix:].mean(dim=1)
        return torch.cat([patches, tokens[:, 0]], dim=1) if prefix else patches

    def extract(images: Tensor) -> Tensor:
        tokens = trace(backbone, images, ("tokens",)).tokens
        return torch.stack([pooled(tokens[layer]) for layer in layers])

    return FeatureSpec(
        layers,
        poolings,
        channels * (1 + bool(prefix)),
        extract,
        "residual stream after each block, no final norm, standardised per feature",
    )


def pixel_features(num_channels: int = 3) -> FeatureSpec:
    """The image itself, averaged to 16 x 16 pixels: what can be known without a model."""
    length = num_channels * PIXEL_SIDE**2

    def extract(images: Tensor) -> Tensor:
        small = F.adaptive_avg_pool2d(images, PIXEL_SIDE)
        return rearrange(small, "image channel height width -> 1 image (channel height width)")

    return FeatureSpec((None,), {"pixels": slice(0, length)}, length, extract, "16 x 16 pixels")
