"""Memories of missions, against the laws of single cells and an event-by-event simulation."""

import math

import numpy as np
import pytest

from bare import settings
from seu_plugin.errors import ConfigError
from seu_plugin.faults.cell_map import CellMap
from seu_plugin.faults.fault_map import FaultMap, popcount
from seu_plugin.faults.histories import Histories
from seu_plugin.faults.itinerary import Itinerary
from seu_plugin.faults.mechanisms import AsymmetricRates, ClusterSettings
from seu_plugin.faults.rates import ber_after
from seu_plugin.faults.site_memory import SiteMemory
from seu_plugin.memory.protection import ProtectionRule

PERIOD, RATE = 10.0, 0.02


def histories(codes=500, points=4, scrubs=3, seed=1, rate=RATE, **changed):
    of_mission = {name: changed.pop(name) for name in ("sweeping", "read_every") if name in changed}
    itinerary = Itinerary(scrubs * PERIOD, PERIOD, points, {"": ((0.0, rate),)}, **of_mission)
    memory = SiteMemory("fc", codes, 4, settings(**changed))
    return Histories([memory], itinerary, seed)


def looked(made, missions):
    """(time, what is read) of each mission and moment."""
    for number in range(missions):
        times = made.itinerary.times(made._seed, number)
        for moment, time in enumerate(times):
            yield time, made.at(number, moment)["fc"]


def wrong_share(made, missions, bits):
    """Of each look: the time, and the share of cells read wrong."""
    return np.array([(t, popcount(one.map.mask) / bits) for t, one in looked(made, missions)])


def agrees(shares, expected, cells):
    """Whether means differ by no more than chance; ``cells``: of all looks."""
    mean, p = shares.mean(), expected.mean()
    return abs(mean - p) < 4.5 * math.sqrt(p * (1 - p) / cells)


def test_all_at_once_each_cell_has_the_ber_of_the_time_since_a_scrub():
    found = wrong_share(histories(), 60, 2000)
    expected = np.array([ber_after(RATE, time % PERIOD) for time in found[:, 0]])
    for part in range(4):  # young and old memories
        here = (found[:, 0] % PERIOD // (PERIOD / 4)).astype(int) == part
        assert here.sum() > 20
        assert agrees(found[here, 1], expected[here], here.sum() * 2000)


def test_sweeping_each_cell_has_the_ber_of_its_own_age():
    """In the first round, words that are yet to come are as old as the mission."""
    found = wrong_share(histories(sweeping=True), 60, 2000)
    address = (np.arange(2000) + 0.5) / 2000 * PERIOD
    expected = []
    for time, _ in found:
        last = np.floor((time - address) / PERIOD) * PERIOD + address
        expected.append(np.mean([ber_after(RATE, time - max(one, 0.0)) for one in last]))
    expected = np.array(expected)
    for early in (True, False):
        here = (found[:, 0] < PERIOD) == early
        assert agrees(found[here, 1], expected[here], here.sum() * 2000)


def test_sweeping_young_addresses_have_fewer_upsets_than_old_ones():
    made = histories(codes=2000, points=1, scrubs=1, sweeping=True, rate=0.05)
    young = old = 0
    for time, read in looked(made, 40):
        swept = read.map.index < 2000 * time / PERIOD
        late = read.map.index < 2000 * (time / PERIOD) / 2
        young += popcount(read.map.mask[swept & ~late])
        old += popcount(read.map.mask[late])
    assert young < old


def test_increments_are_independent():
    """A cell may be upset twice and be right again: maps at later times do not hold earlier ones'
    cells, and cells that recover do so as often as the law says."""
    made = histories(codes=4000, points=2, scrubs=1, rate=0.1)
    back = stayed = 0
    expected = []
    for number in range(30):
        first, second = made.itinerary.times(1, number)
        maps = [made.at(number, moment)["fc"].map for moment in range(2)]
        bits = [np.unpackbits(dense(one, 4000).astype(np.uint8)) for one in maps]
        back += int((bits[0] & ~bits[1] & 1).sum())
        stayed += int((bits[0] & bits[1]).sum())
        expected.append(ber_after(0.1, second - first))
    share = back / (back + stayed)
    p = float(np.mean(expected))
    assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / (back + stayed)) + 0.01


def dense(one, words):
    masks = np.zeros(words, dtype=np.int64)
    masks[one.index] = one.mask
    return masks


def test_asymmetric_rates_follow_the_last_upset():
    """A cell that holds 0 is wrong with probability u / (u + d) (1 - exp(-(u + d) t)), u up."""
    rates = AsymmetricRates(zero_to_one=1.5, one_to_zero=0.5)
    made = histories(codes=2000, scrubs=1, mode="asymmetric", asymmetric=rates, rate=0.05)
    up, down, times = [], [], []
    for time, read in looked(made, 40):
        found = read.map
        assert isinstance(found, CellMap)
        assert not (found.up & found.down).any()  # the last upset says what a cell holds
        up.append(popcount(found.up) / 8000)
        down.append(popcount(found.down) / 8000)
        times.append(time)
    times = np.array(times)
    gone = 1 - np.exp(-2.0 * 0.05 * times)
    assert agrees(np.array(up), 0.75 * gone, 8000 * len(times))
    assert agrees(np.array(down), 0.25 * gone, 8000 * len(times))


def test_clusters_have_their_rate_and_their_sizes():
    clusters = ClusterSettings(sizes={1: 0.5, 3: 0.5})
    made = histories(codes=4000, scrubs=1, mode="mbu", mbu=clusters, rate=0.004)
    found = wrong_share(made, 60, 16000)
    expected = np.array([ber_after(0.004, t, 1.0) for t in found[:, 0]])
    # Upsets of one event stand and fall together: three times the variance is on the safe side.
    assert agrees(found[:, 1], expected, len(found) * 16000 / 3)


def test_two_events_at_one_cell_have_sizes_of_their_own():
    clusters = ClusterSettings(sizes={1: 0.5, 2: 0.5})
    made = histories(codes=8, points=1, scrubs=1, mode="mbu", mbu=clusters, rate=0.5)
    assert any(not read.harmless for _, read in looked(made, 5))


CODED = {"protection": (ProtectionRule(scheme="secded_39_32"),)}


def test_what_a_code_corrects_is_written_back_when_it_is_read():
    """Without reads two upsets meet in a word in the course of a period; with reads they must meet
    between two of them."""
    seldom, often = (
        sum(not one.harmless for _, one in looked(made, 40))
        for made in (
            histories(codes=2000, rate=0.002, **CODED),
            histories(codes=2000, rate=0.002, read_every=PERIOD / 200, **CODED),
        )
    )
    assert often < seldom / 4 and seldom > 20


def test_corrected_words_by_an_event_by_event_simulation():
    """Words read wrong with reads in between, against a loop over events of single words."""
    words, every, missions = 400, 2.5, 150
    kept = {"protection": (ProtectionRule(scheme="secded_39_32", on_detected="keep"),)}
    made = histories(codes=words * 8, points=2, scrubs=1, rate=0.01, read_every=every, **kept)
    found = [
        len(np.unique(read.map.index // 8)) / words if read.map.index.size else 0.0
        for _, read in looked(made, missions)
    ]
    generator = np.random.Generator(np.random.Philox(5))
    simulated = []
    for number in range(missions):
        for time in made.itinerary.times(1, number):
            simulated.append(
                np.mean([simulated_word(generator, time, every) for _ in range(words // 4)])
            )
    error = math.hypot(np.std(found) / len(found) ** 0.5, np.std(simulated) / len(simulated) ** 0.5)
    assert abs(np.mean(found) - np.mean(simulated)) < 5 * error


def simulated_word(generator, until, every, cells=39, rate=0.01):
    """Whether a SECDED word is read wrong: its decoder mends one wrong cell and writes it back, and
    here leaves words with more as they are."""
    wrong, read = set(), every
    times = np.sort(generator.uniform(0.0, until, generator.poisson(rate * cells * until)))
    for time in times:
        while read <= time:
            if len(wrong) <= 1:
                wrong.clear()
            read += every
        wrong ^= {int(generator.integers(cells))}
    while read <= until:
        if len(wrong) <= 1:
            wrong.clear()
        read += every
    return len(wrong) > 1 and any(cell < 32 for cell in wrong)


def test_missions_are_pure_functions_of_their_numbers():
    one, other = histories(), histories()
    other.at(5, 3)
    for number, moment in ((0, 0), (2, 3)):
        first, second = (made.at(number, moment)["fc"].map for made in (one, other))
        assert isinstance(first, FaultMap)
        assert (first.index == second.index).all() and (first.mask == second.mask).all()


def test_missions_and_seeds_differ():
    maps = [histories().at(0, 1), histories().at(1, 1), histories(seed=2).at(0, 1)]
    assert len({tuple(one["fc"].map.index.tolist()) for one in maps}) == 3


def test_an_environment_begins_in_time():
    """Quiet first, then a storm: upsets are of the time in which they fall."""
    itinerary = Itinerary(100.0, 100.0, 10, {"": ((0.0, 1e-9), (90.0, 0.1))})
    made = Histories([SiteMemory("fc", 500, 4, settings())], itinerary, 3)
    counts = [popcount(made.at(0, moment)["fc"].map.mask) for moment in range(10)]
    assert counts[:9] == [0] * 9 and counts[9] > 10


def test_too_many_upsets_are_an_error_before_any():
    with pytest.raises(ConfigError, match=r"meets 8e\+08 upsets in a period; .* scrub more often"):
        histories(codes=10_000_000, rate=2.0)


def test_a_vote_is_wrong_where_two_copies_are():
    """Of tmr, 3 p^2 - 2 p^3 with p the BER of the age."""
    made = histories(codes=1000, scrubs=1, rate=0.02, protection=(ProtectionRule(scheme="tmr"),))
    found = wrong_share(made, 40, 4000)
    p = np.array([ber_after(0.02, time) for time in found[:, 0]])
    assert agrees(found[:, 1], 3 * p**2 - 2 * p**3, len(found) * 4000)


@pytest.mark.parametrize("sweeping", [False, True])
def test_clusters_in_coded_memory_are_followed(sweeping):
    clusters = ClusterSettings(sizes={1: 0.5, 2: 0.5})
    asked = {"mode": "mbu", "mbu": clusters, "sweeping": sweeping, **CODED}
    reads = [one for _, one in looked(histories(codes=2000, rate=0.002, **asked), 20)]
    assert any(not one.harmless for one in reads)
    assert sum(one.corrected for one in reads) > 0


def test_selected_bits_alone_are_upset():
    made = histories(codes=500, bits=(0, 3), rate=0.05)
    masks = [one.map.mask for _, one in looked(made, 10)]
    assert int(np.bitwise_or.reduce(np.concatenate(masks))) == 0b1001
