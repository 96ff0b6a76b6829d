import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from vitscope.evaluation.ridge import RidgeStatistics, ridge_classifiers

NUM_LAYERS, NUM_IMAGES, NUM_FEATURES, NUM_CLASSES = 2, 101, 7, 3


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, NUM_CLASSES, (NUM_IMAGES,), generator=generator)
    features = torch.randn(NUM_LAYERS, NUM_IMAGES, NUM_FEATURES, generator=generator)
    features = features * torch.logspace(-3, 3, NUM_FEATURES) + 100
    return features + labels[:, None] * torch.randn(NUM_FEATURES, generator=generator), labels


def statistics_of(features, labels, batches=1):
    statistics = RidgeStatistics.empty(NUM_LAYERS, NUM_CLASSES, features.shape[-1])
    for part in torch.arange(len(labels)).chunk(batches):
        statistics.add(features[:, part], labels[part])
    return statistics


@pytest.mark.parametrize("strength", [1e-4, 0.1, 3.0])
def test_equals_scikit_learn_on_standardised_features(data, strength):
    features, labels = data
    ours = ridge_classifiers(statistics_of(*data), slice(None), (strength,))
    for layer in range(NUM_LAYERS):
        scaled = StandardScaler().fit_transform(features[layer].double())
        theirs = Ridge(alpha=strength * NUM_IMAGES).fit(scaled, np.eye(NUM_CLASSES)[labels])
        scores = features[layer].double() @ ours.weight[0, layer] + ours.bias[0, layer]
        np.testing.assert_allclose(scores, theirs.predict(scaled), atol=1e-6)


def test_a_slice_of_the_features_is_a_probe_of_its_own(data):
    features, labels = data
    whole = ridge_classifiers(statistics_of(*data), slice(2, 5), (0.1,))
    alone = ridge_classifiers(statistics_of(features[..., 2:5], labels), slice(None), (0.1,))
    torch.testing.assert_close(whole.weight, alone.weight)


def test_batches_and_shards_merge_exactly(data):
    features, labels = data
    at_once, in_batches = statistics_of(*data), statistics_of(*data, batches=7)
    shards = statistics_of(features[:, :40], labels[:40]) + statistics_of(
        features[:, 40:], labels[40:]
    )
    for other in (in_batches, shards):
        torch.testing.assert_close(other.second_moment, at_once.second_moment, rtol=1e-12, atol=0)
        torch.testing.assert_close(other.class_sum, at_once.class_sum, rtol=1e-12, atol=0)
        assert torch.equal(other.count, at_once.count)


def test_dead_features_are_ignored(data):
    features, labels = data
    dead = torch.cat([features, torch.full((NUM_LAYERS, NUM_IMAGES, 1), 5.0)], dim=-1)
    classifier = ridge_classifiers(statistics_of(dead, labels), slice(None), (0.1,))
    alone = ridge_classifiers(statistics_of(features, labels), slice(None), (0.1,))
    assert classifier.weight[0, :, -1].eq(0).all()
    torch.testing.assert_close(classifier.weight[..., :-1, :], alone.weight)
    assert torch.equal(classifier.predictions(dead), alone.predictions(features))


def test_separable_classes_are_separated():
    labels = torch.arange(30) % NUM_CLASSES
    features = torch.eye(NUM_CLASSES)[labels].expand(NUM_LAYERS, 30, NUM_CLASSES)
    predictions = ridge_classifiers(
        statistics_of(features, labels), slice(None), (1e-5, 1.0)
    ).predictions(features)
    assert (predictions == labels).all()
