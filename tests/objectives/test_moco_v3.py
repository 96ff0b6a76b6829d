import math

import pytest
import torch

from tests import deterministic
from vitscope.objectives.moco_v3 import contrastive_loss, relative_std
from vitscope.objectives.momentum import cosine_momentum, update_momentum


def test_equal_keys_give_the_loss_of_chance():
    query = deterministic.matrix(7, 11)
    assert contrastive_loss(query, torch.ones(7, 11).double(), 0.2).item() == pytest.approx(
        2 * 0.2 * math.log(7)
    )


def test_agrees_with_the_definition_written_as_loops():
    query, key, temperature = deterministic.matrix(5, 3), deterministic.matrix(5, 3, 99), 0.3
    total = 0.0
    for i in range(5):
        logits = []
        for j in range(5):
            dot = sum(float(a) * float(b) for a, b in zip(query[i], key[j], strict=True))
            logits.append(
                dot / math.dist(query[i], [0] * 3) / math.dist(key[j], [0] * 3) / temperature
            )
        total += math.log(sum(map(math.exp, logits))) - logits[i]
    expected = 2 * temperature * total / 5
    assert contrastive_loss(query, key, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_does_not_depend_on_the_length_of_the_features():
    query, key = deterministic.matrix(5, 3), deterministic.matrix(5, 3, 99)
    torch.testing.assert_close(
        contrastive_loss(7 * query, 0.1 * key, 0.2), contrastive_loss(query, key, 0.2)
    )


@pytest.mark.parametrize(("progress", "momentum"), [(0.0, 0.99), (0.5, 0.995), (1.0, 1.0)])
def test_momentum_rises_along_a_half_cosine(progress, momentum):
    assert cosine_momentum(progress, 0.99) == pytest.approx(momentum)


def test_the_momentum_copy_moves_its_parameters_and_keeps_its_buffers():
    follower, leader = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    torch.nn.init.constant_(leader.weight, 3.0)
    leader.running_mean.fill_(7.0)
    update_momentum(follower, leader, momentum=0.75)
    assert follower.weight.tolist() == [1.5] * 3
    assert follower.running_mean.tolist() == [0.0] * 3


def test_spread_is_one_for_gaussian_features_and_zero_after_collapse():
    assert relative_std(torch.randn(2000, 64)).item() == pytest.approx(1, abs=0.02)
    assert relative_std(torch.ones(11, 64)).item() == pytest.approx(0, abs=1e-6)
