"""Counter-based random numbers: a number is a pure function of (seed, index, stream, position).

A generator with a state gives image 7 only after images 0 to 6, and differently in another batch.
Here a number is a hash of its address, so any image can be drawn alone, in any order, on any
machine. The hash is SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
Generators", OOPSLA 2014): a Weyl sequence followed by a 64-bit finaliser. Only integer arithmetic
modulo 2^64 and one exact division are used, hence the numbers are the same to the last bit
everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt64 = npt.NDArray[np.uint64]
Float64 = npt.NDArray[np.float64]

# SplitMix64's increment (2^64 / golden ratio) and finaliser multipliers; the seed's multiplier is
# the odd constant of the same family that Steele and Vigna list for linear generators (2021).
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_SEED_FACTOR = np.uint64(0xD1B54A32D192ED03)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
# FNV-1a, 64 bits (Fowler, Noll and Vo): turns a stream's name into a number.
_FNV_BASIS = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3


def hashed(seed: int | UInt64, position: npt.ArrayLike) -> UInt64:
    """Return the 64-bit hash of `position` under `seed`; the two broadcast against each other.

    z = (position + 1) * increment + seed * factor (modulo 2^64), then SplitMix64's finaliser.
    Raises OverflowError (numpy) where a seed or position is negative.
    """
    with np.errstate(over="ignore"):  # wrapping modulo 2^64 is the algorithm
        z = (np.asarray(position, dtype=np.uint64) + np.uint64(1)) * _INCREMENT
        z = z + np.asarray(seed, dtype=np.uint64) * _SEED_FACTOR
        z = (z ^ (z >> np.uint64(30))) * _MIX_A
        z = (z ^ (z >> np.uint64(27))) * _MIX_B
    return z ^ (z >> np.uint64(31))


def uniform(seed: int | UInt64, position: npt.ArrayLike) -> Float64:
    """Return float64 numbers in [0, 1), one for each broadcast (seed, position).

    The top 53 bits of the hash divided by 2^53: every value is exact in float64.

    >>> uniform(1, [0, 1, 2]).round(4).tolist()
    [0.176, 0.4591, 0.5252]
    """
    return (hashed(seed, position) >> np.uint64(11)) / np.float64(2**53)


def stream_keys(seed: int, indices: npt.ArrayLike, stream: str) -> UInt64:
    """Return one key per index, to be used as the seed of that index's own sequence.

    `stream` names what the numbers are for ("position", "tones"), so adding a stream later leaves
    the numbers of the others as they were.
    """
    name = _FNV_BASIS
    for byte in stream.encode():
        name = ((name ^ byte) * _FNV_PRIME) % 2**64
    return hashed(hashed(seed, indices), np.uint64(name))


def uniforms(seed: int, indices: npt.ArrayLike, stream: str, count: int) -> Float64:
    """Return the first `count` numbers of `stream` for each index, shape (n, count), in [0, 1)."""
    return uniform(stream_keys(seed, indices, stream)[:, None], np.arange(count))
