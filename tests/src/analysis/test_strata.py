"""Strata: all of the memory, once; upsets placed where they belong."""

import numpy as np
import pytest
from scipy import stats

from seu_plugin.analysis.strata import place_trial, strata, stratum_trials
from seu_plugin.analysis.trials import Trial
from seu_plugin.errors import SiteError
from seu_plugin.settings.campaign import Sensitivity

MEMORY = {"conv1": (10, range(8)), "a.conv": (100, range(4)), "fc": (7, (0, 2))}


def placed(maps):
    """(site, word, bit) of each upset."""
    found = []
    for site, fault_map in maps.items():
        for word, mask in zip(fault_map.index.tolist(), fault_map.mask.tolist()):
            found += [(site, word, bit) for bit in range(16) if mask >> bit & 1]
    return found


@pytest.mark.parametrize("by,number", [(("layer", "bit"), 14), (("layer",), 3), (("bit",), 8)])
def test_strata_divide_the_memory(by, number):
    found = strata(MEMORY, Sensitivity(by=by))
    assert len(found) == number
    assert sum(found.values()) == 10 * 8 + 100 * 4 + 7 * 2


def test_bits_are_in_order():
    assert list(strata(MEMORY, Sensitivity(by=("bit",)))) == [f"*#{bit}" for bit in range(8)]


@pytest.mark.parametrize("upsets", [1, 3])
def test_upsets_lie_in_their_stratum_and_are_distinct(upsets):
    for trial in stratum_trials("a.conv#2", 100, Sensitivity(upsets=upsets)):
        found = placed(place_trial(trial, MEMORY, 5))
        assert len(set(found)) == upsets
        assert all((site, bit) == ("a.conv", 2) and word < 100 for site, word, bit in found)


def test_a_small_stratum_is_searched_exhaustively():
    trials = stratum_trials("conv1#7", 10, Sensitivity(trials=20))
    found = [placed(place_trial(trial, MEMORY, 5)) for trial in trials]
    assert sorted(found) == [[("conv1", word, 7)] for word in range(10)]


def test_a_whole_layer_may_be_small_too():
    trials = stratum_trials("fc#*", 14, Sensitivity(trials=20))
    found = {placed(place_trial(trial, MEMORY, 5))[0] for trial in trials}
    assert found == {("fc", word, bit) for word in range(7) for bit in (0, 2)}


def test_places_are_uniform():
    trials = [Trial(n, bit=None, site=None, placed=1) for n in range(5000)]
    found = [placed(place_trial(trial, MEMORY, 5))[0] for trial in trials]
    sites = [sum(site == name for site, _, _ in found) for name in ("conv1", "a.conv", "fc")]
    assert stats.chisquare(sites, np.array([80, 400, 14]) * 5000 / 494).pvalue > 1e-4
    bits = [sum(s == "a.conv" and b == bit for s, _, b in found) for bit in range(4)]
    assert stats.chisquare(bits).pvalue > 1e-4


def test_a_trial_is_a_function_of_seed_number_and_stratum():
    def where(number=3, seed=5, memory=MEMORY):
        return placed(place_trial(Trial(number, site="a.conv", bit=2, placed=2), memory, seed))

    assert where() == where(memory=dict(reversed(MEMORY.items())))
    assert where() != where(number=4)
    assert where() != where(seed=6)


def test_more_upsets_than_bits_is_an_error():
    with pytest.raises(SiteError, match=r"sensitivity\.upsets: is 11, but stratum conv1#7 has 10"):
        stratum_trials("conv1#7", 10, Sensitivity(upsets=11))
