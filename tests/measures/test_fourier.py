import cmath
import math

import pytest
import torch
from einops import rearrange

from vitscope.axes import PatchGrid
from vitscope.measures import fourier_log_amplitude, fourier_spectrum
from vitscope.measures.fourier_log_amplitude import paper_log_amplitude
from vitscope.measures.fourier_spectrum import frequencies, paper_spectrum

GRID = PatchGrid(14, 14)
GRIDS = [PatchGrid(14, 14), PatchGrid(7, 7), PatchGrid(5, 11), PatchGrid(14, 9)]
HALF_LN_2 = math.log(2) / 2


def picture(tokens, grid):
    return rearrange(tokens, "i (h w) c -> i h w c", h=grid.height, w=grid.width)


def flat(images):
    return rearrange(images, "i h w c -> i (h w) c")


def wave(grid, frequency, direction=1):
    """One channel that varies along a diagonal with the frequency, in units of pi."""
    y, x = grid.centres.T
    return torch.cos(math.pi * frequency * (y + direction * x) + 0.3).reshape(1, -1, 1)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_white_noise_is_flat_at_zero_and_at_half_ln_2_in_the_paper(grid, random_tokens):
    tokens = random_tokens(16, grid.num_patches, 997)
    values = fourier_spectrum(tokens, grid).mean(dim=0)
    torch.testing.assert_close(values, torch.zeros_like(values), atol=0.02, rtol=0)
    published = paper_spectrum(tokens, grid).mean(dim=0)
    torch.testing.assert_close(published, torch.full_like(published, HALF_LN_2), atol=0.04, rtol=0)


@pytest.mark.parametrize("direction", [1, -1], ids=["falling", "rising"])
@pytest.mark.parametrize("place", [1, 2, 3, 4, 5])
def test_a_cosine_is_one_peak_on_either_diagonal(place, direction):
    tokens = wave(GRID, frequencies(GRID)[0]) + wave(GRID, frequencies(GRID)[place], direction) / 4
    values = fourier_spectrum(tokens, GRID)[0]
    assert values[0] == 0
    assert values[place].item() == pytest.approx(math.log(1 / 4), abs=1e-6)
    others = [k for k in range(1, 6) if k != place]
    assert values[others].max() < -10


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_agrees_with_the_definition_written_as_loops(grid, random_tokens):
    tokens, shorter = random_tokens(1, grid.num_patches, 3), min(grid.height, grid.width)
    images = picture(tokens, grid)[0].tolist()

    def coefficient(fy, fx, channel):
        return sum(
            images[y][x][channel] * cmath.exp(-1j * math.pi * (fy * y + fx * x))
            for y in range(grid.height)
            for x in range(grid.width)
        )

    powers, logs = [], []
    for k in range(math.ceil(shorter / 2)):
        f = 2 * k / shorter
        both = [coefficient(f, s * f, c) for s in (1, -1) for c in range(3)]
        powers.append(sum(abs(z) ** 2 for z in both) / 6)
        logs.append(sum(math.log(abs(z) + 1e-6) for z in both[:3]) / 3)
    canonical = torch.tensor([math.log(p / powers[1]) / 2 for p in powers[1:]]).double()
    published = torch.tensor([value - logs[0] for value in logs[1:]]).double()
    torch.testing.assert_close(fourier_spectrum(tokens, grid)[0], canonical, atol=1e-6, rtol=0)
    torch.testing.assert_close(paper_spectrum(tokens, grid)[0], published, atol=1e-6, rtol=0)


def test_on_square_grids_the_bins_are_those_of_fft2(random_tokens):
    tokens = random_tokens(2, 196, 3)
    amplitude = torch.fft.fft2(picture(tokens, GRID), dim=(1, 2)).abs()
    k = torch.arange(1, 7)
    power = (amplitude[:, k, k].square() + amplitude[:, k, -k].square()).mean(dim=-1)
    torch.testing.assert_close(fourier_spectrum(tokens, GRID), (power / power[:, :1]).log() / 2)


def test_offsets_of_channels_move_the_published_values_only(random_tokens):
    tokens, offset = random_tokens(2, 196, 5), 3.0 + torch.arange(5)
    for grid in (GRID, PatchGrid(7, 28)):
        torch.testing.assert_close(
            fourier_spectrum(tokens + offset, grid), fourier_spectrum(tokens, grid)
        )
    assert (
        paper_log_amplitude(tokens + offset, GRID) < paper_log_amplitude(tokens, GRID) - 2
    ).all()


def test_offsets_of_channels_cost_no_precision(random_tokens):
    tokens = random_tokens(2, 196, 5, dtype=torch.float32) + 1e4
    torch.testing.assert_close(
        fourier_spectrum(tokens, GRID).double(),
        fourier_spectrum(tokens.double(), GRID),
        atol=1e-5,
        rtol=0,
    )


def test_mirroring_turning_and_rolling_a_square_image_change_nothing(random_tokens):
    tokens = random_tokens(2, 49, 5)
    images, grid = picture(tokens, PatchGrid(7, 7)), PatchGrid(7, 7)
    expected = fourier_spectrum(tokens, grid)
    for changed in (images.flip(1), images.flip(2), images.rot90(1, (1, 2)), images.roll(3, 1)):
        torch.testing.assert_close(fourier_spectrum(flat(changed), grid), expected)


def test_turning_an_oblong_image_changes_nothing(random_tokens):
    tokens = random_tokens(2, 55, 3)
    turned = flat(picture(tokens, PatchGrid(5, 11)).transpose(1, 2))
    for measure in (fourier_spectrum, paper_spectrum):
        torch.testing.assert_close(
            measure(turned, PatchGrid(11, 5)), measure(tokens, PatchGrid(5, 11))
        )


def test_the_scale_of_tokens_does_not_matter(random_tokens):
    tokens = random_tokens(2, 196, 3)
    torch.testing.assert_close(fourier_spectrum(1e6 * tokens, GRID), fourier_spectrum(tokens, GRID))


def test_the_log_amplitude_is_the_end_of_the_spectrum(random_tokens):
    tokens = random_tokens(2, 196, 3)
    torch.testing.assert_close(
        fourier_log_amplitude(tokens, GRID), fourier_spectrum(tokens, GRID)[:, -1]
    )
    torch.testing.assert_close(
        paper_log_amplitude(tokens, GRID), paper_spectrum(tokens, GRID)[:, -1]
    )


def test_no_fine_detail_at_all_gives_the_floor_of_rounding():
    value = fourier_log_amplitude(wave(GRID, 1 / 7).float(), GRID).item()
    # A cosine's power lies in two of four bins: the mean over diagonals is 1/4 of the whole.
    assert value == pytest.approx(math.log(torch.finfo(torch.float32).eps * 2), abs=1e-3)


def test_equal_tokens_give_zero():
    tokens = torch.linspace(0.1, 0.7, 5).expand(2, 196, 5)
    assert fourier_spectrum(tokens, GRID).eq(0).all()


def test_coordinates_are_true_frequencies():
    torch.testing.assert_close(frequencies(GRID), torch.arange(1, 7).double() / 7)
    torch.testing.assert_close(
        frequencies(PatchGrid(37, 40)), torch.arange(1, 19).double() * 2 / 37
    )


def test_small_grids_are_an_error():
    for measure in (fourier_spectrum, paper_spectrum):
        with pytest.raises(ValueError, match=r"at least 5 x 5 patches.* got 4 x 9"):
            measure(torch.ones(1, 36, 3), PatchGrid(4, 9))


def test_wrong_number_of_tokens_is_an_error_that_says_both():
    for measure in (fourier_spectrum, paper_spectrum, fourier_log_amplitude):
        with pytest.raises(ValueError, match=r"expected 196 tokens, .* got 197"):
            measure(torch.ones(1, 197, 3), GRID)
