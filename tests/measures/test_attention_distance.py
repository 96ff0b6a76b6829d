import math

import pytest
import torch

from vitscope.axes import PatchGrid
from vitscope.measures import attention_distance
from vitscope.measures.attention_distance import distance_sum, uniform_distance

TRIANGLES = PatchGrid(2, 2, patch_height=4, patch_width=3)  # sides 3 and 4, diagonal 5


def test_self_attention_has_distance_zero():
    # More than 25 patches, and squares beyond float32's integers: cdist's shortcut is inexact.
    grid = PatchGrid(5, 7, patch_height=10007, patch_width=10009)
    attention = torch.eye(35).expand(2, 3, 35, 35)
    assert attention_distance(attention, grid).eq(0).all()


@pytest.mark.parametrize(("side", "pixels"), [(14, 116.49), (12, 99.75)])
def test_uniform_attention_gives_the_known_mean_distance(side, pixels):
    grid = PatchGrid(side, side, 16, 16)
    uniform = torch.full((1, 1, side**2, side**2), 1 / side**2)
    assert attention_distance(uniform, grid).item() == pytest.approx(pixels, abs=0.005)
    assert uniform_distance(grid) == pytest.approx(pixels, abs=0.005)


def test_rows_and_columns_of_a_grid_have_their_own_patch_size():
    queries = torch.zeros(3, 1, 4, 4)
    queries[0, 0, :, :] = torch.eye(4)[[1, 0, 3, 2]]  # to the neighbour in the row
    queries[1, 0, :, :] = torch.eye(4)[[2, 3, 0, 1]]  # in the column
    queries[2, 0, :, :] = torch.eye(4)[[3, 2, 1, 0]]  # across
    torch.testing.assert_close(
        attention_distance(queries, TRIANGLES), torch.tensor([[3.0], [4.0], [5.0]])
    )


def test_agrees_with_the_definition_written_as_loops(random_attention):
    attention, expected = random_attention(2, 3, 10), torch.zeros(2, 3, dtype=torch.float64)
    for image in range(2):
        for head in range(3):
            for query in range(10):
                for key in range(10):
                    down = 8 * (query // 5 - key // 5)
                    right = 4 * (query % 5 - key % 5)
                    weight = attention[image, head, query, key]
                    expected[image, head] += weight * math.hypot(down, right) / 10
    actual = attention_distance(attention, PatchGrid(2, 5, patch_height=8, patch_width=4))
    torch.testing.assert_close(actual, expected)


def test_turning_the_image_changes_nothing(random_attention):
    attention = random_attention(2, 3, 15)
    turned = torch.arange(15).reshape(3, 5).T.reshape(-1)
    torch.testing.assert_close(
        attention_distance(attention[:, :, turned][..., turned], PatchGrid(5, 3, 4, 8)),
        attention_distance(attention, PatchGrid(3, 5, 8, 4)),
    )


def test_half_precision_weights_are_summed_in_float32(random_attention):
    attention, grid = random_attention(2, 3, 196), PatchGrid(14, 14, 16, 16)
    half = attention.bfloat16()
    actual = attention_distance(half, grid)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, attention_distance(half.double(), grid).float())


def test_wrong_number_of_patches_is_an_error_that_says_both(random_attention):
    with pytest.raises(ValueError, match=r"196 keys, .* 14 x 14 .* got 197 queries and 197 keys"):
        attention_distance(random_attention(1, 1, 197), PatchGrid(14, 14))


def test_prefix_tokens_left_among_the_keys_are_an_error(random_attention):
    with pytest.raises(ValueError, match="got 4 queries and 5 keys"):
        attention_distance(random_attention(1, 1, 5)[:, :, 1:], TRIANGLES)


def test_a_block_that_is_not_the_named_rows_is_an_error(random_attention):
    with pytest.raises(ValueError, match=r"expected 3 queries .* got 4 queries"):
        distance_sum(random_attention(1, 1, 4), TRIANGLES, slice(1, 4))
