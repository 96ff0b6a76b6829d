import torch

from vitscope.axes import PatchGrid
from vitscope.measures.attention_sums import key_mass, row_entropy_sum, smoothed
from vitscope.measures.inputs import ALL_ROWS


def test_entropies_of_zeros_and_ones_are_exactly_zero():
    assert row_entropy_sum(torch.eye(7).reshape(1, 1, 7, 7), PatchGrid(1, 7), ALL_ROWS).item() == 0


def test_mass_is_as_large_as_the_number_of_queries(random_attention):
    mass = key_mass(random_attention(2, 3, 7)[:, :, 2:5], PatchGrid(1, 7), slice(2, 5))
    assert mass.shape == (2, 3, 7)
    torch.testing.assert_close(mass.sum(dim=-1), torch.full((2, 3), 3.0, dtype=torch.float64))


def test_smoothed_rows_sum_to_one_whatever_was_dropped(random_attention):
    without_prefix = random_attention(2, 3, 7)[..., 1:]
    rows = smoothed(without_prefix, smoothing=1e-8).sum(dim=-1)
    torch.testing.assert_close(rows, torch.ones_like(rows))


def test_smoothing_keeps_half_precision_zeros_above_zero():
    attention = torch.tensor([[[[1.0, 0.0]]]], dtype=torch.float16)  # 1e-8 is 0 in float16
    assert smoothed(attention, smoothing=1e-8).min() > 0


def test_no_smoothing_leaves_rows_that_sum_to_one(random_attention):
    attention = random_attention(2, 3, 7)
    torch.testing.assert_close(smoothed(attention, smoothing=0.0), attention)
