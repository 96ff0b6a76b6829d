import math

import pytest
import torch

from vitscope.tracing import CapturedAttention


def captured(num_tokens: int = 7, dtype: torch.dtype = torch.float32, bias=None):
    stream = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 5, num_tokens, 3, generator=stream).to(dtype)
    return CapturedAttention(query=query, key=key, value=value, bias=bias, scale=0.7)


@pytest.mark.parametrize("prefix", [0, 1, 3])
@pytest.mark.parametrize("rows_per_block", [1, 2, 5, None])
def test_patch_rows_are_all_rows_with_prefix_columns_dropped_and_renormalised(
    prefix, rows_per_block
):
    bias = torch.arange(2 * 5 * 11 * 11.0).reshape(2, 5, 11, 11).sin()
    attention = captured(num_tokens=11, bias=bias)
    whole = attention.weights()[..., prefix:, prefix:]
    expected = whole / whole.sum(-1, keepdim=True)
    got, position = torch.empty_like(expected), 0
    for rows, block in attention.patch_rows(prefix, rows_per_block):
        assert rows.start == position
        got[:, :, rows] = block
        position = rows.stop
    assert position == 11 - prefix
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_weights_agree_with_the_definition_written_as_loops():
    bias = torch.arange(49.0).reshape(7, 7).sin().expand(2, 5, 7, 7)
    attention = captured(bias=bias)
    got = attention.weights(slice(2, 4), slice(1, 6))
    assert got.shape == (2, 5, 2, 5)
    for image, head, row in [(0, 0, 0), (1, 3, 1), (0, 4, 1)]:
        query = attention.query[image, head, 2 + row].tolist()
        scores = [
            0.7 * sum(a * b for a, b in zip(query, key.tolist(), strict=True))
            + math.sin(7 * (2 + row) + index)
            for index, key in enumerate(attention.key[image, head, 1:6], start=1)
        ]
        total = sum(math.exp(score) for score in scores)
        for column, score in enumerate(scores):
            expected = math.exp(score) / total
            assert got[image, head, row, column].item() == pytest.approx(expected, rel=1e-5)


def test_weights_are_float32_or_better_even_under_autocast():
    expected = captured().weights()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert captured().weights().equal(expected)
        rows = [block for _, block in captured(dtype=torch.bfloat16).patch_rows(1, 2)]
    assert {block.dtype for block in rows} == {torch.float32}
    assert captured(dtype=torch.float64).weights().dtype == torch.float64


def test_prefix_mass_is_what_goes_to_prefix_tokens():
    attention = captured(num_tokens=11)
    expected = attention.weights()[:, :, 3:, :3].sum(-1)
    torch.testing.assert_close(attention.prefix_mass(3, rows_per_block=3), expected)
    assert attention.prefix_mass(0).eq(0).all()


def test_prefix_mass_of_uniform_attention_is_the_share_of_prefix_tokens():
    zeros = torch.zeros(1, 1, 8, 2)
    uniform = CapturedAttention(query=zeros, key=zeros, value=zeros, bias=None, scale=1.0)
    torch.testing.assert_close(uniform.prefix_mass(2), torch.full((1, 1, 6), 2 / 8))
