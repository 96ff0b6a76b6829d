import inspect
import math

import pytest
import torch

from vitscope.measures import depth_similarity


def test_the_same_directions_give_one(random_tokens):
    tokens = random_tokens(2, 7, 5)
    for length in (3, 1e-9):
        torch.testing.assert_close(
            depth_similarity(tokens, length * tokens), torch.ones(2).double()
        )


def test_reversed_tokens_give_minus_one(random_tokens):
    tokens = random_tokens(2, 7, 5)
    torch.testing.assert_close(depth_similarity(tokens, -tokens), -torch.ones(2).double())


def test_a_turn_by_sixty_degrees_gives_one_half():
    before = torch.tensor([1.0, 0.0]).expand(1, 7, 2)
    after = torch.tensor([math.cos(math.pi / 3), math.sin(math.pi / 3)]).expand(1, 7, 2)
    torch.testing.assert_close(depth_similarity(before, after), torch.tensor([0.5]))


def test_a_zero_token_counts_as_a_right_angle():
    before, after = torch.ones(1, 7, 3), torch.ones(1, 7, 3)
    after[0, 2] = 0
    torch.testing.assert_close(depth_similarity(before, after), torch.tensor([6 / 7]))
    assert depth_similarity(0 * before, 0 * before).item() == 0


def test_agrees_with_the_definition_written_as_loops(random_tokens):
    before, after = random_tokens(2, 7, 5, seed=0), random_tokens(2, 7, 5, seed=1)
    expected = torch.zeros(2).double()
    for image in range(2):
        for one, other in zip(before[image].tolist(), after[image].tolist(), strict=True):
            dot = sum(a * b for a, b in zip(one, other, strict=True))
            expected[image] += dot / (math.hypot(*one) * math.hypot(*other)) / 7
    torch.testing.assert_close(depth_similarity(before, after), expected)


def test_tokens_of_two_shapes_are_an_error_that_says_both():
    # Unwrapped: while testing, the shape checker would speak first.
    unchecked = inspect.unwrap(depth_similarity)
    with pytest.raises(ValueError, match=r"\(1, 7, 3\) and \(1, 1, 3\)"):
        unchecked(torch.ones(1, 7, 3), torch.ones(1, 1, 3))
