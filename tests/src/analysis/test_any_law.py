"""The interval that holds whatever the law: coverage under laws that others fail at."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.analysis.any_law import any_law_interval

LAWS = {
    "normal": (lambda g, n: np.clip(5.0 + g.standard_normal(n), -2, 98), 5.0),
    "1 in 33": (lambda g, n: np.where(g.random(n) < 1 / 33, 80.0, 0.0), 80 / 33),
    "1 in 100": (lambda g, n: np.where(g.random(n) < 0.01, 80.0, 0.0), 0.8),
    "coin": (lambda g, n: np.where(g.random(n) < 0.5, 98.0, -2.0), 48.0),
}
RUNS = 200


def interval(values):
    return any_law_interval(tuple(map(float, values)), -2.0, 98.0, 0.95)


@pytest.mark.parametrize("n", [5, 20, 100])
@pytest.mark.parametrize("law", LAWS)
def test_it_covers_every_law(law, n):
    draw, truth = LAWS[law]
    generator = np.random.Generator(np.random.Philox([n, len(law)]))
    ends = [interval(draw(generator, n)) for _ in range(RUNS)]
    covered = sum(low <= truth <= high for low, high in ends)
    assert covered >= 0.95 * RUNS - 3 * math.sqrt(RUNS * 0.95 * 0.05)


def test_it_may_be_looked_at_after_every_trial():
    draw, truth = LAWS["1 in 33"]
    generator = np.random.Generator(np.random.Philox(7))
    missed = 0
    for _ in range(60):
        values = draw(generator, 60)
        ends = (interval(values[:n]) for n in range(2, 61, 2))
        missed += any(not low <= truth <= high for low, high in ends)
    assert missed <= 0.05 * 60 + 3 * math.sqrt(60 * 0.05 * 0.95)


def test_equal_values_by_hand():
    """All at the lower end: the bet on b = 0 alone wins, a quarter of the wealth on it, and the
    mixture wins no less than that and no more than all of it."""
    low, high = any_law_interval((0.0,) * 20, 0.0, 1.0, 0.95)
    assert low == 0.0
    assert 1 - (1 / 20) ** (1 / 20) < high <= 1 - (1 / 80) ** (1 / 20) + 1e-9


@given(st.lists(st.floats(-2.0, 98.0), min_size=1, max_size=30))
def test_it_holds_the_mean_and_has_a_width(values):
    low, high = interval(values)
    assert -2.0 <= low <= high <= 98.0
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9
    assert high - low > 0.1


@given(st.permutations([0.0, 0.0, 1.5, 80.0, -1.0, 3.25]))
def test_the_order_does_not_matter(values):
    assert interval(values) == pytest.approx(interval(sorted(values)), abs=1e-6)


def test_more_trials_say_more():
    widths = [high - low for low, high in (interval([1.0] * n) for n in (2, 20, 200, 2000))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 1.0


def test_nothing_is_known_without_a_trial():
    assert any_law_interval((), -2.0, 98.0, 0.95) == (-2.0, 98.0)
