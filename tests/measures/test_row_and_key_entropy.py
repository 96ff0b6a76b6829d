import math

import pytest
import torch

from vitscope.axes import PatchGrid
from vitscope.measures import key_entropy, normalized_mutual_information, row_entropy

GRID = PatchGrid(3, 5)
UNIFORM = torch.full((1, 1, 15, 15), 1 / 15)
OWN_PATCH = torch.eye(15).reshape(1, 1, 15, 15)
ONE_PATCH = torch.eye(15)[[4] * 15].reshape(1, 1, 15, 15)


@pytest.mark.parametrize(
    ("attention", "row", "key"),
    [(UNIFORM, 1, 1), (OWN_PATCH, 0, 1), (ONE_PATCH, 0, 0)],
    ids=["uniform", "own patch", "one patch"],
)
def test_the_three_extremes_are_told_apart(attention, row, key):
    assert row_entropy(attention, GRID).item() == pytest.approx(row)
    assert key_entropy(attention, GRID).item() == pytest.approx(key)


def test_a_spread_over_m_of_n_patches_gives_the_ratio_of_their_logs():
    attention = torch.zeros(1, 1, 15, 15)
    attention[..., :5] = 1 / 5
    assert row_entropy(attention, GRID).item() == pytest.approx(math.log(5) / math.log(15))
    assert key_entropy(attention, GRID).item() == pytest.approx(math.log(5) / math.log(15))


def test_row_entropy_agrees_with_the_definition_written_as_loops(random_attention):
    attention, expected = random_attention(2, 3, 15, scale=2), torch.zeros(2, 3).double()
    attention[0, 0, 3] = OWN_PATCH[0, 0, 7].double()  # zeros, where 0 log 0 = 0
    for image in range(2):
        for head in range(3):
            for row in attention[image, head].tolist():
                expected[image, head] -= sum(p * math.log(p) for p in row if p > 0) / 15
    torch.testing.assert_close(row_entropy(attention, GRID), expected / math.log(15))


def test_key_entropy_agrees_with_the_definition_written_as_loops(random_attention):
    attention, expected = random_attention(2, 3, 15, scale=2), torch.zeros(2, 3).double()
    for image in range(2):
        for head in range(3):
            rows = attention[image, head].tolist()
            marginal = [sum(row[key] for row in rows) / 15 for key in range(15)]
            expected[image, head] = -sum(p * math.log(p) for p in marginal) / math.log(15)
    torch.testing.assert_close(key_entropy(attention, GRID), expected)


def test_the_two_make_the_mutual_information(random_attention):
    attention = random_attention(2, 3, 15, scale=3)
    row, key = row_entropy(attention, GRID), key_entropy(attention, GRID)
    torch.testing.assert_close(
        normalized_mutual_information(attention, GRID), (key - row) / key.sqrt()
    )


@pytest.mark.parametrize("measure", [row_entropy, key_entropy, normalized_mutual_information])
def test_a_single_patch_gives_zero(measure):
    assert measure(torch.ones(1, 1, 1, 1), PatchGrid(1, 1)).item() == 0


def test_rounded_weights_of_a_little_over_one_give_no_negative_key_entropy():
    rounded = ONE_PATCH * 1.0078125  # the next number above 1 in bfloat16
    assert key_entropy(rounded, GRID).item() == 0
    assert normalized_mutual_information(rounded, GRID).item() == 0


@pytest.mark.parametrize("measure", [row_entropy, key_entropy])
def test_wrong_number_of_patches_is_an_error_that_says_both(measure):
    with pytest.raises(ValueError, match=r"expected 16 queries .* got 15 queries and 15 keys"):
        measure(UNIFORM, PatchGrid(4, 4))
