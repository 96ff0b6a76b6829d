"""Layer-wise linear probe: what a linear classifier can read from every depth."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vitscope.data.loader import Transform, evaluation_batches
from vitscope.data.source import Source, require_images, skipped_summary
from vitscope.data.transforms import evaluation_transform
from vitscope.evaluation.features import FeatureSpec, pixel_features, token_features
from vitscope.evaluation.ridge import STRENGTHS, RidgeClassifier, RidgeStatistics, ridge_classifiers
from vitscope.models.backbone import Backbone
from vitscope.table import Table

VALIDATION_EVERY = 10  # every tenth training image chooses the strength, never the test images
MAX_VALIDATION = 10_000  # their features are held in memory


def linear_probe(
    backbone: Backbone,
    train: Source,
    test: Source,
    layers: Sequence[int] | str | None = None,
    batch_size: int = 256,
) -> Table:
    """Ridge classifiers on every depth and pooling, fitted in one pass over the training images.

    Args:
        backbone: Frozen; run in evaluation mode.
        train: Labelled images to fit on. Every tenth chooses the ridge strength, per depth and
            pooling, after which all are fitted.
        test: Labelled images of the same classes to score.
        layers: Depths, 0 (embedding) to depth; None: all.
        batch_size: Images per forward pass; changes no number.

    Returns:
        One row per test image, depth and pooling: 1 if classified correctly, else 0. `layer` is
        null for the "raw pixels" rows, a ridge on 16 x 16 pixels under the same protocol.

    Raises:
        ValueError: If labels are missing, differ between train and test, or are of one class.
    """
    spec = token_features(backbone, backbone.layers(layers))
    return _probe(spec, backbone.name, backbone, train, test, batch_size)


def pixel_probe(backbone: Backbone, train: Source, test: Source, batch_size: int = 256) -> Table:
    """The same probe on the pixels as `backbone` would be given them: the baseline to beat."""
    return _probe(pixel_features(), "raw pixels", backbone, train, test, batch_size)


def _probe(
    spec: FeatureSpec, name: str, backbone: Backbone, train: Source, test: Source, batch_size: int
) -> Table:
    require_same_classes(train, test)
    transform = evaluation_transform(backbone.image_size, backbone.mean, backbone.std)
    classifiers, strengths, num_train = _fitted(spec, backbone, train, transform, batch_size)
    frames = []
    for images, labels, indices in evaluation_batches(test, transform, batch_size):
        features = spec.extract(images.to(backbone.device, backbone.dtype)).float().cpu()
        for pooling, columns in spec.poolings.items():
            correct = classifiers[pooling].predictions(features[..., columns])[0] == labels
            frames.append(_rows(name, test.name, pooling, spec, correct, indices))
    require_images(test, len(frames))
    settings = {
        "protocol": "ridge on one-hot labels, standardised features, strength by validation",
        "features": spec.description,
        "train": train.spec or train.name,
        "num_train": num_train,
        "num_classes": num_classes(train),
        "strengths": strengths,
    }
    notes = {
        f"probe {name} on {test.name}": settings,
        "data": {test.name: test.facts()},
        "warnings": [skipped_summary(source) for source in (train, test) if source.skipped],
    }
    return Table(pd.concat(frames, ignore_index=True), notes)


def _fitted(
    spec: FeatureSpec, backbone: Backbone, train: Source, transform: Transform, batch_size: int
) -> tuple[dict[str, RidgeClassifier], dict[str, list[float]], int]:
    """Per pooling the classifiers of all layers and their strengths; images fitted on."""
    shape = len(spec.layers), num_classes(train), spec.num_features
    fitted, validation = RidgeStatistics.empty(*shape), RidgeStatistics.empty(*shape)
    held: list[tuple[Tensor, Tensor]] = []
    num_held = 0
    for images, labels, indices in evaluation_batches(train, transform, batch_size):
        assert labels is not None
        features = spec.extract(images.to(backbone.device, backbone.dtype)).float().cpu()
        chosen = (indices % VALIDATION_EVERY == 0) & (num_held < MAX_VALIDATION)
        num_held += int(chosen.sum())
        fitted.add(features[:, ~chosen], labels[~chosen])
        validation.add(features[:, chosen], labels[chosen])
        held.append((features[:, chosen], labels[chosen]))
    require_images(train, len(held))
    held_features = torch.cat([features for features, _ in held], dim=1)
    held_labels = torch.cat([labels for _, labels in held])
    classifiers, strengths = {}, {}
    for pooling, columns in spec.poolings.items():
        trial = ridge_classifiers(fitted, columns)
        correct = trial.predictions(held_features[..., columns]) == held_labels
        best = correct.double().mean(dim=-1).argmax(dim=0)  # per layer
        strengths[pooling] = [STRENGTHS[index] for index in best.tolist()]
        final = ridge_classifiers(fitted + validation, columns)
        layer = torch.arange(len(spec.layers))
        classifiers[pooling] = replace(
            final, weight=final.weight[best, layer][None], bias=final.bias[best, layer][None]
        )
    return classifiers, strengths, int((fitted + validation).count.sum())


def _rows(
    name: str, dataset: str, pooling: str, spec: FeatureSpec, correct: Tensor, indices: Tensor
) -> pd.DataFrame:
    num_layers, num_images = correct.shape
    return pd.DataFrame(
        {
            "model": name,
            "dataset": dataset,
            "measure": "linear_probe_accuracy",
            "unit": "fraction",
            "variant": f"ridge, {pooling}",
            "site": "pixels" if spec.layers == (None,) else "tokens",
            "layer": np.repeat(np.array(spec.layers, dtype=object), num_images),
            "image": np.tile(indices.numpy(), num_layers),
            "value": correct.flatten().numpy().astype(np.float32),
        }
    )


def require_same_classes(train: Source, test: Source) -> None:
    """Raise ValueError unless both are labelled with the same classes, at least two of them."""
    for role, source in (("train", train), ("test", test)):
        if source.labels is None:
            raise ValueError(
                f"a probe needs labels, but the {role} images ({source.name}) have none; "
                "use a folder with one sub-folder per class"
            )
    if train.class_names != test.class_names:
        raise ValueError(
            f"expected the same classes in train and test, got {train.class_names} and "
            f"{test.class_names}"
        )
    present = np.unique(np.asarray(train.labels))
    if len(present) < 2:
        raise ValueError(f"a probe needs at least two classes, {train.name} has {len(present)}")


def num_classes(train: Source) -> int:
    """Classes by name, or as many as the labels count where they have no names."""
    assert train.labels is not None  # see require_same_classes
    return max(len(train.class_names), int(train.labels.max()) + 1)
