"""Fourier log amplitude: how much fine detail the tokens of a layer carry."""

from vitscope.axes import PatchGrid, PatchTokens, PerImage
from vitscope.measures.fourier_spectrum import fourier_spectrum, paper_spectrum
from vitscope.measures.measure import Measure


def fourier_log_amplitude(tokens: PatchTokens, grid: PatchGrid) -> PerImage:
    """Log amplitude at the highest analysed diagonal frequency, relative to the lowest.

    The last value of `fourier_spectrum`: at 0.857 pi, relative to 0.143 pi, on 14 x 14 patches.

    Args:
        tokens: Patch tokens of one layer.
        grid: Rows and columns of patches; each side at least 5.

    Returns:
        Natural log of an amplitude ratio. 0: as in white noise. Negative: fine detail is weaker
        than coarse; about -16 if there is none. Over all channels of an image, not over images.

    Raises:
        ValueError: If there is not one token per patch, or a side has fewer than 5 patches.

    Source:
        arXiv:2305.00729; cl-vs-mim `representation_analysis.ipynb`, whose values are those of
        `paper_log_amplitude`. See `fourier_spectrum` for how this differs.

    Example:
        >>> import math, torch
        >>> diagonal = torch.arange(8).repeat_interleave(8) + torch.arange(8).repeat(8)  # y + x
        >>> slow, fast = torch.cos(math.pi / 4 * diagonal), torch.cos(3 * math.pi / 4 * diagonal)
        >>> tokens = (slow + fast / 2).reshape(1, 64, 1)
        >>> fourier_log_amplitude(tokens, PatchGrid(8, 8))  # ln(1 / 2)
        tensor([-0.6931])
    """
    return fourier_spectrum(tokens, grid)[:, -1]


def paper_log_amplitude(tokens: PatchTokens, grid: PatchGrid) -> PerImage:
    """The published value: the last of `paper_spectrum`; white noise gives +ln(2)/2 = 0.35."""
    return paper_spectrum(tokens, grid)[:, -1]


MEASURE = Measure(
    function=fourier_log_amplitude,
    reads="tokens",
    title="High-frequency amplitude",
    reading="Low: tokens vary slowly over the image. High: they carry fine detail.",
    unit="Δ log amplitude",
    source="arXiv:2305.00729",
    paper=paper_log_amplitude,
)
