"""The number of upsets is binomial, exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from seu_plugin.faults.counts import binomial_thresholds, upset_count

WORDS = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("bits", [1, 7, 40])
@pytest.mark.parametrize("ber", [1e-12, 1e-3, 0.1, 0.5, 0.97])
def test_thresholds_are_the_exact_distribution_function(bits, ber):
    p = Fraction(ber)
    first, thresholds = binomial_thresholds(bits, ber)
    mass, below = Fraction(0), {}
    from math import comb

    for n in range(bits + 1):
        mass += comb(bits, n) * p**n * (1 - p) ** (bits - n)
        below[n] = mass
    for j, threshold in enumerate(thresholds):
        assert abs(Fraction(int(threshold), 2**64) - below[first + j]) <= Fraction(1, 2**64)


@pytest.mark.parametrize(
    "bits,ber", [(10_000_000, 1e-8), (10_000_000, 1e-3), (4_000_000, 0.1), (1_000_003, 0.75)]
)
def test_thresholds_agree_with_scipy_at_real_sizes(bits, ber):
    first, thresholds = binomial_thresholds(bits, ber)
    counts = first + np.arange(len(thresholds))
    expected = stats.binom.cdf(counts, bits, ber)
    np.testing.assert_allclose(np.array(thresholds) / 2.0**64, expected, atol=1e-9)


@given(WORDS, st.floats(0, 1), st.floats(0, 1), st.integers(1, 5000))
def test_count_does_not_decrease_with_ber(word, one, other, bits):
    low, high = sorted((one, other))
    assert upset_count(word, bits, low) <= upset_count(word, bits, high)


@given(WORDS, st.integers(0, 5000))
def test_ber_zero_and_one_are_certain(word, bits):
    assert (upset_count(word, bits, 0.0), upset_count(word, bits, 1.0)) == (0, bits)


@given(WORDS, st.floats(0, 1), st.integers(1, 5000))
def test_count_is_possible(word, ber, bits):
    assert 0 <= upset_count(word, bits, ber) <= bits


def test_smallest_word_gives_the_smallest_count():
    assert upset_count(0, 1000, 1e-12) == 0


def test_tiny_ber_still_upsets_at_the_largest_word():
    assert upset_count(2**64 - 1, 1_000_000, 1e-12) > 0
