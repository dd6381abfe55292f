"""Intervals cover the truth as often as they say; closed forms where there are some."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.analysis.intervals import (
    clopper_pearson,
    half_width,
    sample_size,
    stein_interval,
    t_interval,
    trials_for_margin,
)

CAMPAIGNS = 2000
CONFIDENCE = 0.95


def z_of_coverage(covered, n=CAMPAIGNS):
    """How many standard errors the coverage is off its nominal rate."""
    return (covered - CONFIDENCE * n) / math.sqrt(n * CONFIDENCE * (1 - CONFIDENCE))


def samples(n, law, seed):
    generator = np.random.Generator(np.random.Philox(seed))
    return [law(generator, n) for _ in range(CAMPAIGNS)]


def normal(generator, n):
    return 90.0 + 2.0 * generator.standard_normal(n)


def covers(interval, truth):
    return interval.low <= truth <= interval.high


def test_t_intervals_cover_normal_means_at_the_nominal_rate():
    covered = sum(covers(t_interval(x, CONFIDENCE), 90.0) for x in samples(20, normal, 1))
    assert abs(z_of_coverage(covered)) < 4


@pytest.mark.parametrize("p", [0.01, 0.3])
def test_clopper_pearson_never_covers_less(p):
    hits = np.random.Generator(np.random.Philox(5)).binomial(50, p, CAMPAIGNS)
    covered = sum(covers(clopper_pearson(int(h), 50, CONFIDENCE), p) for h in hits)
    assert z_of_coverage(covered) > -4


def test_clopper_pearson_knows_its_ends():
    assert clopper_pearson(0, 20, 0.95) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert clopper_pearson(20, 20, 0.95) == (pytest.approx(0.025 ** (1 / 20)), 1.0)


def test_two_stages_keep_the_margin_and_the_coverage():
    margin, covered, sizes = 0.5, 0, []
    generator = np.random.Generator(np.random.Philox(6))
    for _ in range(CAMPAIGNS):
        pilot = normal(generator, 20)
        n = trials_for_margin(pilot, margin, CONFIDENCE, 10**6)
        values = np.concatenate((pilot, normal(generator, n - 20)))
        interval = stein_interval(values, 20, CONFIDENCE)
        assert interval.high - interval.low <= 2 * margin * (1 + 1e-9)
        covered += covers(interval, 90.0)
        sizes.append(n)
    assert abs(z_of_coverage(covered)) < 4
    assert np.mean(sizes) == pytest.approx((2.093 * 2.0 / margin) ** 2, rel=0.1)


def test_a_margin_that_needs_too_much_stops_at_the_limit():
    assert trials_for_margin([0.0, 100.0], 0.01, CONFIDENCE, 50) == 50
    assert trials_for_margin([90.0] * 20, 0.5, CONFIDENCE, 50) == 20


@pytest.mark.parametrize(
    "population,margin,expected",
    # Leveugle et al., DATE 2009: an infinite population at 1 % and 95 % needs 9,604 faults.
    [(10**12, 0.01, 9604), (1000, 0.05, 278), (1, 0.01, 1)],
)
def test_sample_sizes_of_single_faults(population, margin, expected):
    assert sample_size(population, margin, 0.95) == expected


@given(st.lists(st.floats(0, 100), min_size=2, max_size=30))
def test_intervals_hold_their_mean(values):
    mean = float(np.mean(values))
    interval = t_interval(values, 0.9)
    assert interval.low <= mean + 1e-9 and mean - 1e-9 <= interval.high


def test_equal_values_are_a_point_and_one_value_says_nothing():
    assert t_interval([3.0] * 5, 0.95) == (3.0, 3.0)
    assert half_width([3.0], 0.95) == math.inf
