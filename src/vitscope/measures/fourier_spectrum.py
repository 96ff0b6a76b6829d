"""Fourier spectrum: how strongly tokens vary over the image, from slow to fast."""

import math

import torch
from einops import einsum, rearrange, reduce
from jaxtyping import Complex, Float
from torch import Tensor

from vitscope.axes import PatchGrid, PatchTokens, PerImageCoordinate
from vitscope.measures.inputs import centred, patch_tokens
from vitscope.measures.measure import Measure

Frequencies = Float[Tensor, " coordinate"]
DiagonalTransform = Complex[Tensor, "image diagonal coordinate channel"]

SMALLEST_SIDE = 5  # patches; the first side with two frequencies between 0 and pi
PAPER_EPSILON = 1e-6  # cl-vs-mim `representation_analysis.ipynb`, added to each amplitude


def fourier_spectrum(tokens: PatchTokens, grid: PatchGrid) -> PerImageCoordinate:
    """Log amplitude along the diagonals of frequency space, relative to the lowest frequency.

    The patch tokens of an image are a picture with many channels. Per frequency f (`frequencies`)
    the power |F|^2 at (f, f) and (f, -f) is averaged over both diagonals and over channels; the
    value is half the log of its ratio to the power at the lowest f. White noise gives 0 at every f;
    adding the same vector to all tokens, mirroring the image or turning it changes nothing.

    Args:
        tokens: Patch tokens of one layer.
        grid: Rows and columns of patches; each side at least 5. Pixels per patch do not matter.

    Returns:
        Natural log of an amplitude ratio, per image and frequency; 0 at the lowest frequency.
        Negative: fine detail is weaker than coarse. Amplitudes below machine epsilon (1e-7) times
        the whole signal count as that, so the value is finite, about -16 at the least where the
        lowest frequency prevails; if all tokens are equal it is 0.

    Raises:
        ValueError: If there is not one token per patch, or a side has fewer than 5 patches.

    Source:
        After arXiv:2202.06709 and arXiv:2305.00729; their recipe is `paper_spectrum`. It divides by
        the mean token (frequency 0), so that a constant offset of channels lowers all values, and
        averages logs, so that white noise gives +ln(2)/2. Here both are avoided.

    Example:
        >>> diagonal = torch.arange(8).repeat_interleave(8) + torch.arange(8).repeat(8)  # y + x
        >>> slow, fast = torch.cos(math.pi / 4 * diagonal), torch.cos(3 * math.pi / 4 * diagonal)
        >>> tokens = (slow + fast / 2 + 7).reshape(1, 64, 1)
        >>> fourier_spectrum(tokens, PatchGrid(8, 8))[0, -1].exp()  # half the amplitude
        tensor(0.5000)
    """
    tokens = centred(patch_tokens(tokens, grid))
    transform = diagonal_transform(tokens, grid, frequencies(grid))
    square = transform.abs().square()
    power = reduce(square, "image diagonal coordinate channel -> image coordinate", "mean")
    # Parseval: the power of all frequencies together. What is below its rounding is not known;
    # `tiny` keeps the log finite if there is none at all.
    whole = grid.num_patches * tokens.square().mean(dim=-1).sum(dim=-1, keepdim=True)
    limits = torch.finfo(power.dtype)
    log_power = power.maximum(limits.eps**2 * whole).clamp_min(limits.tiny).log()
    return (log_power - log_power[:, :1]) / 2


def paper_spectrum(tokens: PatchTokens, grid: PatchGrid) -> PerImageCoordinate:
    """The published spectrum: mean log amplitude on the main diagonal, minus that of the mean.

    Args:
        tokens: Patch tokens of one layer.
        grid: Rows and columns of patches; each side at least 5.

    Returns:
        Natural log, averaged over channels, per image and frequency of `frequencies`. The published
        value at frequency 0 is 0 by definition and left out. White noise gives +ln(2)/2 = 0.35.

    Raises:
        ValueError: If there is not one token per patch, or a side has fewer than 5 patches.

    Source:
        cl-vs-mim `representation_analysis.ipynb`, after how-do-vits-work. On square grids the
        frequencies are those of fft2's diagonal there; other grids were not covered.

    Example:
        >>> tokens = torch.ones(1, 25, 1)  # amplitude 25 at frequency 0, else 0: ln(1e-6 / 25)
        >>> paper_spectrum(tokens.double(), PatchGrid(5, 5)).round(decimals=2)
        tensor([[-17.0300, -17.0300]], dtype=torch.float64)
    """
    tokens = patch_tokens(tokens, grid)
    mean_first = torch.cat([torch.zeros(1, dtype=torch.float64), frequencies(grid)])
    main_diagonal = diagonal_transform(tokens, grid, mean_first)[:, 0]
    log_amplitude = (main_diagonal.abs() + PAPER_EPSILON).log().mean(dim=-1)
    return log_amplitude[:, 1:] - log_amplitude[:, :1]


def diagonal_transform(
    tokens: PatchTokens, grid: PatchGrid, frequency: Frequencies
) -> DiagonalTransform:
    """Fourier transform of the tokens at (f, f) and at (f, -f), not normalised.

    Args:
        tokens: Patch tokens, in float32 or float64.
        grid: Rows and columns of patches.
        frequency: In units of pi radians per patch; any, not only multiples of 2 / side.

    Returns:
        The sum over patches of token * exp(-i pi f (y + x)), and with (y - x).
    """
    y, x = torch.meshgrid(torch.arange(grid.height), torch.arange(grid.width), indexing="ij")
    position = rearrange([y + x, y - x], "diagonal height width -> diagonal (height width)")
    angle = math.pi * einsum(
        frequency, position.double(), "coordinate, diagonal patch -> diagonal coordinate patch"
    )
    wave = torch.polar(torch.ones_like(angle), -angle)
    wave = wave.to(tokens.device, torch.promote_types(tokens.dtype, torch.complex64))
    return einsum(
        wave,
        tokens.to(wave.dtype),
        "diagonal coordinate patch, image patch channel -> image diagonal coordinate channel",
    )


def frequencies(grid: PatchGrid) -> Frequencies:
    """Frequencies between 0 and pi at which a grid is analysed, in units of pi (Nyquist is 1).

    They are 2k / m for k = 1, 2, ... below m / 2, with m the shorter side. Between 0 and Nyquist
    every Fourier coefficient is complex and so follows the same law for white noise; Nyquist itself
    (real, on even sides only) is left out, as in the published recipe. On a grid that is not square
    the same pair (f, f) is used on both sides: the shorter has a whole number of periods, so
    neither white noise nor a constant offset leaks, whatever the longer has.

    Raises:
        ValueError: If a side has fewer than 5 patches.

    Example:
        >>> frequencies(PatchGrid(14, 14))[-1].item()  # not 1, as axes of published figures say
        0.8571428571428571
    """
    shorter = min(grid.height, grid.width)
    if shorter < SMALLEST_SIDE:
        raise ValueError(
            f"expected a grid of at least {SMALLEST_SIDE} x {SMALLEST_SIDE} patches, so that there "
            f"is a frequency to compare with the lowest; got {grid.height} x {grid.width}. Use "
            "larger images or smaller patches, or leave the Fourier measures out."
        )
    return 2 * torch.arange(1, (shorter + 1) // 2, dtype=torch.float64) / shorter


MEASURE = Measure(
    function=fourier_spectrum,
    reads="tokens",
    title="Fourier spectrum",
    reading="Falling: tokens vary slowly over the image. Flat: as in white noise.",
    unit="Δ log amplitude",
    source="arXiv:2202.06709, arXiv:2305.00729",
    paper=paper_spectrum,
    coordinates=frequencies,
    coordinate_unit="π",
)
