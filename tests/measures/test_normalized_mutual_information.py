import math

import pytest
import torch

from vitscope.axes import PatchGrid
from vitscope.measures import normalized_mutual_information

GRID = PatchGrid(14, 14)


def gaussian_windows(sigma):
    """Attention that falls off as a Gaussian around the query, on 14 x 14 patches."""
    centres = GRID.centres
    square = (centres[:, None] - centres).square().sum(-1)
    return (-square / (2 * sigma**2)).softmax(dim=-1).expand(1, 1, -1, -1)


def test_every_query_on_a_patch_of_its_own_gives_one():
    order = torch.randperm(196, generator=torch.Generator().manual_seed(0))
    attention = torch.stack([torch.eye(196), torch.eye(196)[order]]).unsqueeze(0)
    torch.testing.assert_close(normalized_mutual_information(attention, GRID), torch.ones(1, 2))


def test_uniform_attention_gives_zero():
    value = normalized_mutual_information(torch.full((1, 1, 196, 196), 1 / 196), GRID)
    assert value.item() == pytest.approx(0, abs=1e-6)


def test_one_map_for_all_queries_gives_zero(random_attention):
    attention = random_attention(1, 3, 196, scale=3)[:, :, :1].expand(1, 3, 196, 196)
    torch.testing.assert_close(
        normalized_mutual_information(attention, GRID), torch.zeros(1, 3, dtype=torch.float64)
    )


def test_one_patch_for_all_queries_gives_zero_and_not_nan():
    attention = torch.zeros(1, 1, 196, 196)
    attention[..., 17] = 1
    assert normalized_mutual_information(attention, GRID).item() == 0


def test_groups_that_attend_to_themselves_give_a_ratio_of_logs():
    # 4 groups of 4 patches: information ln 4, both entropies ln 16.
    attention = torch.block_diag(*[torch.full((4, 4), 0.25)] * 4).reshape(1, 1, 16, 16)
    value = normalized_mutual_information(attention, PatchGrid(2, 8))
    assert value.item() == pytest.approx(math.log(4) / math.log(16))


@pytest.mark.parametrize(
    ("sigma", "expected"), [(1, 0.50), (2, 0.28), (3, 0.16), (4, 0.09), (6, 0.03)]
)
def test_wider_windows_give_the_known_lower_values(sigma, expected):
    value = normalized_mutual_information(gaussian_windows(sigma), GRID)
    assert value.item() == pytest.approx(expected, abs=0.005)


def test_agrees_with_the_definition_written_as_loops(random_attention):
    attention, expected = random_attention(2, 3, 7, scale=2), torch.zeros(2, 3, dtype=torch.float64)
    attention[0, 0, 3] = torch.eye(7, dtype=torch.float64)[5]  # zeros, where 0 log 0 = 0
    for image in range(2):
        for head in range(3):
            rows = attention[image, head].tolist()
            marginal = [sum(row[key] for row in rows) / 7 for key in range(7)]
            key_entropy = -sum(p * math.log(p) for p in marginal)
            information = sum(
                p / 7 * math.log(p / marginal[key])
                for row in rows
                for key, p in enumerate(row)
                if p > 0
            )
            expected[image, head] = information / math.sqrt(math.log(7) * key_entropy)
    actual = normalized_mutual_information(attention, PatchGrid(1, 7))
    torch.testing.assert_close(actual, expected)


def test_relabelling_the_patches_changes_nothing(random_attention):
    attention = random_attention(2, 3, 7, scale=2)
    order = torch.tensor([3, 6, 0, 2, 5, 1, 4])
    torch.testing.assert_close(
        normalized_mutual_information(attention[:, :, order][..., order], PatchGrid(1, 7)),
        normalized_mutual_information(attention, PatchGrid(1, 7)),
    )


def test_wrong_number_of_patches_is_an_error_that_says_both(random_attention):
    with pytest.raises(ValueError, match=r"expected 196 queries .* got 7 queries and 7 keys"):
        normalized_mutual_information(random_attention(1, 1, 7), GRID)
