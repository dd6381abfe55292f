"""Counts of a radiation test: the exact Poisson interval, and what it covers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from seu_plugin.faults.counted import Counted, garwood


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [  # 95 %, as tabulated since Garwood (1936)
        (0, 0.0, 3.689),
        (1, 0.025, 5.572),
        (2, 0.242, 7.225),
        (10, 4.795, 18.390),
        (100, 81.364, 121.627),
    ],
)
def test_the_interval_of_tables(count, low, high):
    assert garwood(count, 0.95) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))


@given(st.integers(0, 5000), st.floats(0.51, 0.999))
def test_ends_leave_half_of_the_rest_on_each_side(count, confidence):
    low, high = garwood(count, confidence)
    tail = (1 - confidence) / 2
    assert low < count + 1e-12 < high + 1e-12 and high > low
    assert stats.poisson(high).cdf(count) == pytest.approx(tail, rel=1e-6)
    if count:
        assert stats.poisson(low).sf(count - 1) == pytest.approx(tail, rel=1e-6)


@pytest.mark.parametrize("mean", [0.02, 0.7, 3.0, 11.0, 60.0])
def test_the_interval_holds_at_least_as_often_as_it_says(mean):
    """Exact coverage: probabilities of the counts whose interval holds the mean."""
    counts = np.arange(0, 400)
    holds = [low <= mean <= high for low, high in (garwood(int(n), 0.9) for n in counts)]
    assert stats.poisson(mean).pmf(counts)[holds].sum() >= 0.9


def test_a_rate_is_the_count_over_bits_and_seconds():
    counted = Counted("upsets", 12, 4e6)
    assert counted.per_bit_second == 3e-6
    assert counted.interval(0.95) == pytest.approx((6.20058 / 4e6, 20.96159 / 4e6), rel=1e-5)
