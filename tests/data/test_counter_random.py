"""The hash against its known values, and streams that do not lean on each other."""

import numpy as np
import pytest

from vitscope.data import counter_random


def test_first_values_are_the_known_ones():
    # Computed with whole Python numbers from the definition of the hash.
    known = [0.17601256256594233, 0.45906731214326846, 0.5252187108738771]
    assert counter_random.uniform(1, [0, 1, 2]).tolist() == known


def test_hash_follows_its_definition_in_whole_python_numbers():
    def by_hand(seed: int, position: int) -> int:
        z = ((position + 1) * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    for seed in (0, 1, 2**64 - 1):
        for position in (0, 5, 2**40):
            assert int(counter_random.hashed(seed, position)) == by_hand(seed, position)


def test_stream_keys_are_stored():
    keys = counter_random.stream_keys(0, [0, 1, 2], "shape")
    assert keys.tolist() == [3763802275721796242, 8049893636495727405, 2832581965358859021]


def test_numbers_of_an_index_do_not_depend_on_the_others():
    together = counter_random.uniforms(3, np.arange(50), "placement", 4)
    alone = counter_random.uniforms(3, [17], "placement", 2)
    assert together[17, :2].tolist() == alone[0].tolist()


def test_numbers_are_uniform():
    u = counter_random.uniforms(0, np.arange(20_000), "any", 2)
    assert u.min() >= 0 and u.max() < 1
    # Standard errors: mean sqrt(1 / 12 / 40,000) = 0.0014; a bin of ten 0.0015.
    assert u.mean() == pytest.approx(0.5, abs=0.006)
    assert np.histogram(u, 10, (0, 1))[0] / u.size == pytest.approx(0.1, abs=0.006)


@pytest.mark.parametrize(
    "other", [(0, 1, "a"), (1, 0, "a"), (0, 0, "b")], ids=["index", "seed", "stream"]
)
def test_neighbouring_addresses_give_unrelated_numbers(other):
    def sequence(seed: int, index: int, stream: str) -> np.ndarray:
        return counter_random.uniforms(seed, [index], stream, 5000)[0]

    # Standard error of a correlation of 5,000 numbers: 0.014.
    assert abs(np.corrcoef(sequence(0, 0, "a"), sequence(*other))[0, 1]) < 0.06


def test_negative_index_is_refused():
    with pytest.raises(OverflowError):
        counter_random.uniforms(0, [-1], "any", 1)
