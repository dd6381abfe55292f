"""The share of time in which nothing is read wrong, against closed forms and missions."""

import math

import numpy as np
import pytest

from bare import settings
from seu_plugin.faults.clean_time import clean_share
from seu_plugin.faults.histories import Histories
from seu_plugin.faults.itinerary import Itinerary
from seu_plugin.faults.population import Kind, Population
from seu_plugin.faults.rates import ber_after
from seu_plugin.faults.site_memory import SiteMemory

BITS = Population((Kind(1000, 1, 1),))


def test_at_once_by_hand():
    """1,000 cells, each wrong with probability (1 - exp(-2 r t)) / 2: sums over small steps."""
    it = Itinerary(100.0, 30.0, 8, {"": ((0.0, 1e-5),)})
    times = (np.arange(200_000) + 0.5) / 2000
    expected = np.mean([(1 - ber_after(1e-5, age)) ** 1000 for age in (times % 30.0)[::20]])
    assert clean_share(it, BITS) == pytest.approx(expected, rel=1e-4)


def test_sweeping_by_hand():
    """Every age is there at any time: of cells, the product of their chances to be right."""
    it = Itinerary(100.0, 10.0, 8, {"": ((0.0, 1e-5),)}, sweeping=True)
    ages = (np.arange(1000) + 0.5) / 100
    expected = math.exp(sum(math.log1p(-ber_after(1e-5, age)) for age in ages))
    assert clean_share(it, BITS) == pytest.approx(expected, rel=1e-6)


def test_the_highest_environment_bounds_it():
    calm = Itinerary(100.0, 10.0, 8, {"": ((0.0, 1e-6),)})
    storm = Itinerary(100.0, 10.0, 8, {"": ((0.0, 1e-5),)})
    both = Itinerary(100.0, 10.0, 8, {"": ((0.0, 1e-6), (90.0, 1e-5))})
    assert clean_share(both, BITS) == clean_share(storm, BITS) < clean_share(calm, BITS)


def test_a_rarer_upset_leaves_more_nines():
    shares = [
        1.0 - clean_share(Itinerary(10.0, 10.0, 8, {"": ((0.0, rate),)}), BITS)
        for rate in (1e-9, 1e-8)
    ]
    assert shares[1] == pytest.approx(10 * shares[0], rel=1e-3)


@pytest.mark.parametrize("sweeping", [False, True])
def test_missions_are_as_often_without_a_wrong_bit(sweeping):
    it = Itinerary(200.0, 20.0, 10, {"": ((0.0, 5e-5),)}, sweeping)
    made = Histories([SiteMemory("fc", 250, 4, settings())], it, 5)
    looks = [made.at(n, m)["fc"].harmless for n in range(200) for m in range(it.points)]
    if sweeping:  # the first round has younger cells
        looks = [made.at(n, m)["fc"].harmless for n in range(200) for m in range(1, it.points)]
    share = clean_share(it, BITS)
    error = math.sqrt(share * (1 - share) / len(looks))
    assert abs(np.mean(looks) - share) < 4 * error + 0.01
