"""The law of struck units, against closed forms and exhaustive small memories."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.faults.population import Kind, Population, Struck, count_words

BERS = (1e-15, 1e-9, 1e-3, 0.3)


def binomial(n, k, p):
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@pytest.mark.parametrize("ber", BERS)
@pytest.mark.parametrize(
    "kind", [Kind(1000, 1, 1), Kind(40, 39, 3), Kind(500, 3, 2), Kind(7, 9, 1)]
)
def test_the_chance_is_that_of_the_closed_form(kind, ber):
    p = Fraction(ber)
    harmless = sum(binomial(kind.cells, k, p) for k in range(kind.least))
    wanted = 1 - harmless**kind.units
    assert Population((kind,)).chance(ber) == pytest.approx(float(wanted), rel=1e-9)


def test_kinds_are_independent():
    one, two = Population((Kind(5, 1, 1),)), Population((Kind(4, 3, 2),))
    both = Population(one.kinds + two.kinds)
    assert 1 - both.chance(0.1) == pytest.approx((1 - one.chance(0.1)) * (1 - two.chance(0.1)))


def test_a_rate_is_no_more_than_certain():
    assert Population((Kind(3, 1, 1),), 1.5).chance(0.9) == 1.0


@pytest.mark.parametrize("ber", [1e-12, 0.02, 0.4])
def test_counts_follow_the_law_given_that_one_is_dangerous(ber):
    """Two kinds: the joint law, by counting over a lattice of words."""
    kinds = (Kind(3, 1, 1), Kind(2, 3, 2))
    population, n = Population(kinds), 64
    lattice = [((2 * i + 1) << 64) // (2 * n) for i in range(n)]
    drawn = np.zeros((4, 3))
    generator = np.random.Generator(np.random.Philox(1))
    for _ in range(20_000):
        words = [tuple(int(w) for w in generator.choice(n, 2)) for _ in kinds]
        drawn[population.counts(ber, [(lattice[a], lattice[b]) for a, b in words])] += 1
    laws = [[binomial(k.units, i, k.chance(ber)) for i in range(k.units + 1)] for k in kinds]
    wanted = np.outer(*laws)
    wanted[0, 0] = 0.0
    wanted /= wanted.sum()
    assert drawn[0, 0] == 0
    # The lattice has steps of 1/64 in each of four words, the sample an error of 1/280.
    assert np.abs(drawn / drawn.sum() - wanted).max() < 0.04


@given(st.integers(0, 1 << 32), st.floats(1e-15, 0.5), st.floats(1e-15, 0.5))
def test_more_are_struck_at_a_higher_rate(trial, one, other):
    population = Population((Kind(1000, 1, 1),))
    words = count_words(1, trial, 1)
    low, high = sorted((one, other))
    assert 1 <= population.counts(low, words)[0] <= population.counts(high, words)[0]


@pytest.mark.parametrize("ber", BERS)
def test_densities_add_up_to_one(ber):
    """Over all patterns of a memory of three bare cells and two voted bits."""
    population = Population((Kind(3, 1, 1), Kind(2, 3, 2)))
    total, possible = 0.0, [0, 2, 3]
    for bare in range(4):
        for a, b in product(possible, possible):
            if bare + a + b == 0:
                continue
            struck = (Struck(bare, bare), Struck((a > 0) + (b > 0), a + b))
            several = math.comb(3, bare) * math.comb(3, a) * math.comb(3, b)
            density = population.log_densities(ber, np.array([struck], dtype=float))
            total += several * math.exp(density[0])
    assert total == pytest.approx(1.0, rel=1e-9)
