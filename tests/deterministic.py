"""Inputs and weights that need no random generator: a hash of name and position.

The golden values of `golden_ssl.json` and `golden_measures.json` were made on these inputs.
"""

import zlib

import numpy as np
import torch
from torch import Tensor, nn


def uniform(seed: int, shape: tuple[int, ...], offset: int = 0) -> Tensor:
    """Numbers in [0, 1) filled in C order, float64: splitmix64 of position and seed."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = (np.arange(count, dtype=np.uint64) + np.uint64(offset + 1)) * np.uint64(
            0x9E3779B97F4A7C15
        ) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return torch.from_numpy((z >> np.uint64(11)).astype(np.float64) / 2.0**53).reshape(shape)


def matrix(rows: int, columns: int, offset: int = 0) -> Tensor:
    return 4 * uniform(777, (rows, columns), offset) - 2


def images(count: int, offset: int = 0, size: int = 32) -> Tensor:
    return 3 * uniform(12345, (count, 3, size, size), offset) - 1.5


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    values = 2 * uniform(zlib.crc32(name.encode()), shape) - 1
    if "gamma_" in name:
        return 0.1 + 0.02 * values
    if len(shape) == 1 and name.endswith("weight"):
        return 1 + 0.1 * values
    return 0.2 * values


@torch.no_grad()
def fill(module: nn.Module, prefix: str = "", scale: float = 1.0) -> None:
    """Give every parameter its value by name; `prefix` makes the name the official one."""
    for name, parameter in module.named_parameters():
        parameter.copy_(scale * weight(prefix + name, tuple(parameter.shape)))
