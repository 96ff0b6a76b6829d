"""Ridge classification in closed form, from sums that can be accumulated and merged."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Features = Float[Tensor, "layer image feature"]

STRENGTHS = tuple(10.0**exponent for exponent in range(-5, 2))
"""Penalties tried, relative to a feature's variance; from none to speak of to ten times it."""
SMALLEST_STD = 1e-6
"""A feature that varies less than this share of the largest one is padding or a dead unit."""


@dataclass
class RidgeStatistics:
    """Sums over images that decide a ridge classifier, per layer, in float64.

    Args:
        count: Images per class, shape (class,).
        class_sum: Sum of features per class, (layer, class, feature).
        second_moment: Sum of outer products, (layer, feature, feature).
    """

    count: Float[Tensor, " class"]
    class_sum: Float[Tensor, "layer class feature"]
    second_moment: Float[Tensor, "layer feature feature"]

    @staticmethod
    def empty(num_layers: int, num_classes: int, num_features: int) -> "RidgeStatistics":
        """Sums over no images."""
        return RidgeStatistics(
            torch.zeros(num_classes, dtype=torch.float64),
            torch.zeros(num_layers, num_classes, num_features, dtype=torch.float64),
            torch.zeros(num_layers, num_features, num_features, dtype=torch.float64),
        )

    def add(self, features: Features, labels: Int[Tensor, " image"]) -> None:
        """Count in a batch."""
        features = features.double()
        self.count += torch.bincount(labels, minlength=len(self.count))
        self.class_sum.index_add_(1, labels, features)
        self.second_moment += features.mT @ features

    def __add__(self, other: "RidgeStatistics") -> "RidgeStatistics":
        return RidgeStatistics(
            self.count + other.count,
            self.class_sum + other.class_sum,
            self.second_moment + other.second_moment,
        )


@dataclass(frozen=True)
class RidgeClassifier:
    """`features @ weight + bias` scores classes; the largest score wins.

    Args:
        weight: (strength, layer, feature, class).
        bias: (strength, layer, 1, class).
    """

    weight: Float[Tensor, "strength layer feature class"]
    bias: Float[Tensor, "strength layer 1 class"]

    def predictions(self, features: Features) -> Int[Tensor, "strength layer image"]:
        """Class of each image, for each strength and layer."""
        return (features.double() @ self.weight + self.bias).argmax(dim=-1)


def ridge_classifiers(
    statistics: RidgeStatistics, columns: slice, strengths: Sequence[float] = STRENGTHS
) -> RidgeClassifier:
    """One-against-all ridge regression on standardised features, for every strength and layer.

    Args:
        statistics: Of the training images; at least two classes must have images.
        columns: Which features are used.
        strengths: Penalties on standardised weights, relative to the number of images; above 0.

    Returns:
        The minimiser of mean squared error to one-hot labels + strength * |weight|^2 per class,
        with an unpenalised bias. One eigendecomposition per layer serves all strengths. Equals
        scikit-learn's Ridge on standardised features with alpha = strength * number of images.
    """
    total = statistics.count.sum()
    class_sum = statistics.class_sum[..., columns]
    mean = class_sum.sum(dim=1, keepdim=True) / total  # layer 1 feature
    covariance = statistics.second_moment[:, columns, columns] / total - mean.mT @ mean
    std = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()[:, None]  # layer 1 feature
    dead = std <= SMALLEST_STD * std.amax(dim=-1, keepdim=True)
    scale = torch.where(dead, 0.0, 1 / std)
    frequency = statistics.count / total
    cross = (class_sum.mT / total - mean.mT * frequency) * scale.mT  # layer feature class
    values, vectors = torch.linalg.eigh(covariance * scale * scale.mT)
    rotated = vectors.mT @ cross
    weights = torch.stack(
        [
            vectors @ (rotated / (values.clamp(min=0)[..., None] + strength))
            for strength in strengths
        ]
    )
    weights = weights * scale.mT
    return RidgeClassifier(weights, frequency - mean @ weights)
