import math

import pytest
import torch

from vitscope.axes import PatchGrid
from vitscope.measures import centred_token_similarity, token_similarity

GRID = PatchGrid(1, 7)


def mean_cosine_by_loops(tokens):
    total, pairs = 0.0, 0
    for i, one in enumerate(tokens.tolist()):
        for j, other in enumerate(tokens.tolist()):
            if i != j:
                dot = sum(a * b for a, b in zip(one, other, strict=True))
                total += dot / (math.hypot(*one) * math.hypot(*other))
                pairs += 1
    return total / pairs


def test_tokens_of_one_direction_give_one():
    lengths = torch.arange(1.0, 8.0).reshape(1, 7, 1)
    direction = torch.tensor([3.0, -4.0, 12.0])
    torch.testing.assert_close(token_similarity(lengths * direction, GRID), torch.ones(1))


def test_directions_as_far_apart_as_can_be_give_the_lower_bound():
    simplex = (torch.eye(7) - 1 / 7).unsqueeze(0)
    torch.testing.assert_close(token_similarity(simplex, GRID), torch.tensor([-1 / 6]))


def test_right_angles_give_zero():
    torch.testing.assert_close(token_similarity(torch.eye(7).unsqueeze(0), GRID), torch.zeros(1))


def test_a_zero_token_has_cosine_zero_with_any_other():
    tokens = torch.ones(1, 7, 3)
    tokens[0, 2] = 0  # 6 * 5 of 7 * 6 ordered pairs remain, each with cosine 1
    torch.testing.assert_close(token_similarity(tokens, GRID), torch.tensor([30 / 42]))
    assert token_similarity(torch.zeros(1, 7, 3), GRID).item() == 0


def test_agrees_with_the_definition_written_as_loops(random_tokens):
    tokens = random_tokens(2, 7, 5)
    raw = torch.tensor([mean_cosine_by_loops(image) for image in tokens], dtype=torch.float64)
    torch.testing.assert_close(token_similarity(tokens, GRID), raw)
    without_mean = [mean_cosine_by_loops(image - image.mean(dim=0)) for image in tokens]
    centred = torch.tensor(without_mean, dtype=torch.float64)
    torch.testing.assert_close(centred_token_similarity(tokens, GRID), centred)


def test_lengths_of_tokens_do_not_matter_before_centring(random_tokens):
    tokens = random_tokens(2, 7, 5)
    lengths = torch.logspace(-3, 3, 7, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        token_similarity(lengths * tokens, GRID), token_similarity(tokens, GRID)
    )


def test_a_shared_offset_hides_everything_unless_centred(random_tokens):
    tokens = random_tokens(2, 7, 5)
    moved = tokens + 1e3
    assert token_similarity(moved, GRID).min() > 0.99
    torch.testing.assert_close(
        centred_token_similarity(moved, GRID), centred_token_similarity(tokens, GRID)
    )


def test_two_opposite_clusters_cancel_out_when_centred():
    tokens = torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1]).reshape(1, 8, 1) + torch.tensor([5.0])
    torch.testing.assert_close(
        centred_token_similarity(tokens, PatchGrid(2, 4)), torch.tensor([-1 / 7])
    )


def test_one_outlier_leaves_the_others_alike_when_centred():
    tokens = torch.zeros(1, 8, 1)
    tokens[0, 3] = 9.0  # signs after centring: 7 of one, 1 of the other: (6^2 - 8) / (8 * 7)
    torch.testing.assert_close(
        centred_token_similarity(tokens, PatchGrid(2, 4)), torch.tensor([0.5])
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_tokens_have_no_directions_left_when_centred(dtype):
    grid = PatchGrid(14, 14)
    tokens = torch.linspace(0.1, 0.7, 11).to(dtype).expand(2, 196, 11)
    assert centred_token_similarity(tokens, grid).eq(0).all()


@pytest.mark.parametrize("measure", [token_similarity, centred_token_similarity])
def test_wrong_inputs_are_errors_that_say_what_came(measure):
    with pytest.raises(ValueError, match=r"expected 196 tokens, .* 14 x 14 .* got 197"):
        measure(torch.ones(1, 197, 3), PatchGrid(14, 14))
    with pytest.raises(ValueError, match=r"at least 2 tokens .* got 1"):
        measure(torch.ones(1, 1, 3), PatchGrid(1, 1))
