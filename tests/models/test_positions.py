import math

import pytest
import torch

from tests import deterministic
from tests.models.official_files import FILES, saved
from vitscope.models.load import load
from vitscope.models.positions import fixed_order, mae_positions, resampled_positions
from vitscope.models.published import Resampling
from vitscope.models.vit import sincos_positions

SHIFTED = Resampling(offset=0.1, antialias=False)
SMOOTHED = Resampling(offset=0.0, antialias=True)


def cubic(distance, a):
    """The cubic convolution kernel (Keys 1981)."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def shifted_matrix(old, new):
    """Weights by new and old place: sampled at a scale of (new + 0.1) / old, edges repeated."""
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for place in range(new):
        at = (place + 0.5) * old / (new + 0.1) - 0.5
        for neighbour in range(math.floor(at) - 1, math.floor(at) + 3):
            weight = cubic(at - neighbour, a=-0.75)
            matrix[place, min(max(neighbour, 0), old - 1)] += weight
    return matrix


def smoothed_matrix(old, new):
    """Weights by new and old place: the kernel is as wide as a new place, and ends at the edge."""
    width = max(old / new, 1.0)
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for place in range(new):
        centre = (place + 0.5) * old / new
        for neighbour in range(old):
            matrix[place, neighbour] = cubic((neighbour + 0.5 - centre) / width, a=-0.5)
    return matrix / matrix.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("rule", "matrix"), [(SHIFTED, shifted_matrix), (SMOOTHED, smoothed_matrix)]
)
@pytest.mark.parametrize("grid", [(3, 4), (5, 7), (11, 6)])
def test_resampling_is_bicubic_along_either_axis(rule, matrix, grid):
    table = deterministic.uniform(1, (1, 1 + 49, 5))
    image = table[0, 1:].reshape(7, 7, 5)
    expected = torch.einsum("ir,jc,rcd->ijd", matrix(7, grid[0]), matrix(7, grid[1]), image)
    found = resampled_positions(table, grid, rule)
    assert torch.equal(found[:, 0], table[:, 0])
    torch.testing.assert_close(found[0, 1:].reshape(*grid, 5), expected, rtol=0, atol=2e-6)


def test_positions_that_are_no_square_cannot_be_resampled():
    with pytest.raises(ValueError, match="15 positions are no square grid"):
        resampled_positions(torch.zeros(1, 16, 4), (3, 3), SHIFTED)


@pytest.mark.parametrize("grid", [(3, 5), (4, 4), (2, 7)])
def test_a_fixed_table_is_told_by_the_axis_that_it_takes_first(grid):
    for positions, order in ((sincos_positions, "row"), (mae_positions, "column")):
        table = torch.cat([torch.zeros(1, 16), positions(*grid, 16)])[None]
        for stored in (table, table.half(), table.bfloat16()):
            assert fixed_order(stored) == order
        assert fixed_order(table + 0.01 * torch.randn(table.shape)) is None


@pytest.mark.parametrize(
    ("name", "rule"),
    [("dino", SHIFTED), ("ibot", SHIFTED), ("dinov2", SHIFTED), ("dinov2 registers", SMOOTHED)],
)
@pytest.mark.parametrize("size", [(20, 8), (4, 36)])  # the second has as many patches as the file
def test_a_stated_size_resamples_as_the_authors_forward_does(tmp_path, name, rule, size):
    file = FILES[name]()
    path = saved(tmp_path / "a.pth", file.content)
    grid = (size[0] // 4, size[1] // 4)
    backbone = load(f"{file.format}:{path}?num_heads=3&image_size={size[0]}x{size[1]}")
    assert (backbone.grid.height, backbone.grid.width) == grid and backbone.image_size == size
    expected = resampled_positions(file.encoder["pos_embed"], grid, rule)
    own = backbone.module.pos_embed
    registers = own.shape[1] - expected.shape[1]
    assert own[:, 1 : 1 + registers].eq(0).all()
    assert torch.equal(torch.cat([own[:, :1], own[:, 1 + registers :]], dim=1), expected)
