"""The paper mode gives the numbers that the published code gives, on inputs that a hash makes."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from vitscope.axes import PatchGrid
from vitscope.measures import MEASURES
from vitscope.measures.attention_sums import smoothed

GOLDEN = json.loads((Path(__file__).parents[1] / "golden_measures.json").read_text())
DECLARED = {measure.name: measure for measure in MEASURES}


def hash_uniform(seed, offset, count):
    """Numbers in [0, 1): splitmix64 of a counter, the same in any language."""
    counter = np.arange(count, dtype=np.uint64) + np.uint64(offset + 1)
    z = counter * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(seed * 0xD1B54A32D192ED03 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53


def hash_matrix(case):
    u = hash_uniform(case["seed"], case["offset"], math.prod(case["shape"]))
    return case["scale"] * (4 * u.reshape(case["shape"]) - 2)


def golden_attention(case):
    """Softmax weights of CLS and 14 x 14 patches.

    `locality` lowers the logits of far patches; `cls_logit` draws attention to CLS and so makes
    what the published code adds to the rest (before renormalising) count.
    """
    logits = hash_matrix(case)
    y, x = np.divmod(np.arange(196), 14)
    city_block = np.abs(y[:, None] - y) + np.abs(x[:, None] - x)
    logits[..., 1:, 1:] -= case["locality"] * city_block
    logits[..., 0] += case["cls_logit"]
    return torch.from_numpy(logits).float().softmax(dim=-1)


def golden_tokens(case):
    """Patch tokens after CLS; `cumulative_sums` over rows and columns make them smooth."""
    images, tokens, channels = case["shape"]
    side = math.isqrt(tokens - 1)
    patches = hash_matrix(case)[:, 1:].reshape(images, side, side, channels)
    for _ in range(case["cumulative_sums"]):
        patches = patches.cumsum(axis=1).cumsum(axis=2) / side
    patches = patches.reshape(images, side**2, channels) + case["shift"]
    return torch.from_numpy(patches).float(), PatchGrid(side, side)


def test_the_hash_gives_the_numbers_of_its_recipe():
    expected = [0.17601256256594233, 0.45906731214326846, 0.5252187108738771]
    assert hash_uniform(1, 0, 3).tolist() == expected


@pytest.mark.parametrize("name", ["attention_distance", "normalized_mutual_information"])
@pytest.mark.parametrize("case", GOLDEN["attention"], ids=lambda case: f"offset {case['offset']}")
def test_attention_measures_in_paper_mode_match_the_published_code(case, name):
    without_cls = golden_attention(case)[..., 1:, 1:]
    weights = smoothed(without_cls, DECLARED[name].smoothing)
    actual = DECLARED[name].function(weights, PatchGrid(14, 14, 16, 16))
    torch.testing.assert_close(actual, torch.tensor(case[name]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", GOLDEN["tokens"], ids=lambda case: f"offset {case['offset']}")
def test_fourier_measures_in_paper_mode_match_the_published_code(case):
    tokens, grid = golden_tokens(case)
    expected = torch.tensor(case["fourier_spectrum"])  # the first value is 0 by definition
    spectrum = DECLARED["fourier_spectrum"].paper(tokens, grid)
    torch.testing.assert_close(spectrum, expected[:, 1:], rtol=0, atol=1e-5)
    last = DECLARED["fourier_log_amplitude"].paper(tokens, grid)
    torch.testing.assert_close(last, expected[:, -1], rtol=0, atol=1e-5)
