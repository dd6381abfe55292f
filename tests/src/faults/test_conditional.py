"""Trials given that something may be read wrong, against memories whose every map is enumerated."""

import numpy as np
import pytest

from seu_plugin.analysis.drops import Drops
from seu_plugin.faults.conditional import ConditionalMemory
from seu_plugin.faults.fault_map import FaultMap
from seu_plugin.faults.site_memory import SiteMemory
from seu_plugin.memory.ecc import code_of
from seu_plugin.memory.residual import voted
from seu_plugin.settings.section import parse_settings

CODES, WIDTH = 3, 4
BITS = CODES * WIDTH
BERS = (1e-15, 1e-9, 1e-4, 0.03, 0.5)
STORED = np.array([0b1010, 0b0111, 0b0001], dtype=np.int32)
#: What each pattern of bits read wrong costs, in points: most little, some very much.
COST = np.random.Generator(np.random.Philox(3)).choice([0.0, 0.5, 2.0, 70.0, -0.5], 1 << BITS)
COST[0] = 0.0
PATTERNS = np.arange(1 << BITS)


def weights(n):
    counts = np.zeros(1 << n, dtype=np.int64)
    for bit in range(n):
        counts[1 << bit : 2 << bit] = counts[: 1 << bit] + 1
    return counts


def of_independent(chances):
    """The expected cost if bit i is read wrong with chance i, independently."""
    probability = np.ones(1 << BITS)
    for bit, chance in enumerate(chances):
        probability *= np.where(PATTERNS >> bit & 1, chance, 1.0 - chance)
    return float(probability @ COST)


def of_code(scheme, on_detected, ber, data_bits=8):
    """The expected cost behind a code, over all patterns of data and check bits."""
    code = code_of(scheme, data_bits)
    words = -(-BITS // code.data_bits)
    cells = BITS + words * code.check_bits
    every = np.arange(1 << cells)
    cost = np.zeros(1 << cells, dtype=np.int64)
    for word in range(words):
        size = min(code.data_bits, BITS - word * code.data_bits)
        data = every >> word * code.data_bits & (1 << size) - 1
        check = every >> (BITS + word * code.check_bits) & (1 << code.check_bits) - 1
        decoded = code.decode(data.astype(np.uint64), check.astype(np.int32))
        left = np.where(decoded.detected & (on_detected == "reload"), 0, decoded.data)
        cost |= (left.astype(np.int64) & (1 << size) - 1) << word * code.data_bits
    n = weights(cells)
    return float((ber**n * (1.0 - ber) ** (cells - n)) @ COST[cost])


def of_events(ber):
    """Events that upset two neighbours of a row of 12 cells, all patterns of them."""
    n, rate = weights(BITS), ber / 2.0
    flips = PATTERNS ^ (PATTERNS << 1 | PATTERNS >> BITS - 1) & (1 << BITS) - 1
    return float((rate**n * (1.0 - rate) ** (BITS - n)) @ COST[flips])


def bits_of(stored):
    return [int(word) >> bit & 1 for word in stored for bit in range(WIDTH)]


CASES = {
    "ber": ({}, lambda p: of_independent([p] * BITS)),
    "two bits exposed": (
        {"bits": [1, 3]},
        lambda p: of_independent([p * (b % WIDTH in (1, 3)) for b in range(BITS)]),
    ),
    "stuck at random": (
        {"mode": "stuck_at", "stuck_at": "random"},
        lambda p: of_independent([p / 2] * BITS),
    ),
    "stuck at 1": (
        {"mode": "stuck_at", "stuck_at": 1},
        lambda p: of_independent([p * (1 - bit) for bit in bits_of(STORED)]),
    ),
    "asymmetric": (
        {"mode": "asymmetric", "asymmetric": {"zero_to_one": 0.3, "one_to_zero": 1.5}},
        lambda p: of_independent([p * (1.5 if bit else 0.3) for bit in bits_of(STORED)]),
    ),
    "clusters": (
        {
            "mode": "mbu",
            "mbu": {"sizes": {2: 1.0}},
            "memory": {"word_bits": BITS, "row_words": 1},
        },
        of_events,
    ),
    "parity": (
        {"protection": [{"scheme": "parity", "data_bits": 8}]},
        lambda p: of_code("parity", "reload", p),
    ),
    "parity, kept": (
        {"protection": [{"scheme": "parity", "data_bits": 8, "on_detected": "keep"}]},
        lambda p: of_code("parity", "keep", p),
    ),
    "secded": (
        {"protection": [{"scheme": "secded_39_32"}]},
        lambda p: of_code("secded_39_32", "reload", p),
    ),
    "secded, kept": (
        {"protection": [{"scheme": "secded_39_32", "on_detected": "keep"}]},
        lambda p: of_code("secded_39_32", "keep", p),
    ),
    "tmr": (
        {"protection": [{"scheme": "tmr"}]},
        lambda p: of_independent([voted(p)] * BITS),
    ),
    "tmr of two bits": (
        {"protection": [{"scheme": "tmr", "bits": [2, 3]}]},
        lambda p: of_independent([voted(p) if b % WIDTH > 1 else p for b in range(BITS)]),
    ),
}


def pattern(found):
    """The bits read wrong, as a number."""
    one = found.map
    stored = STORED[one.index]
    if isinstance(one, FaultMap):
        flips = one.mask
    else:
        flips = one.flips(stored) if hasattr(one, "flips") else one.read(stored).flips
    return sum(int(flip) << WIDTH * int(word) for word, flip in zip(one.index, flips))


def memory(settings, seed):
    given = parse_settings({"ber": 0.0, **settings})
    return ConditionalMemory([SiteMemory("a", CODES, WIDTH, given)], seed)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ber", BERS)
def test_the_mean_is_that_of_all_maps(name, ber):
    settings, exact = CASES[name]
    drawn, n = memory(settings, 1), 1000
    costs = np.array([COST[pattern(drawn.draw(ber, i).maps["a"])] for i in range(n)])
    chance = drawn.population.chance(ber)
    assert 0.0 < chance <= 1.0
    error = chance * costs.std() / np.sqrt(n)
    # Costs are few values of some scatter, so that 1,000 of them are near normal.
    assert abs(chance * costs.mean() - exact(ber)) < 4.5 * error + 1e-12 * abs(exact(ber))


@pytest.mark.parametrize("name", ["ber", "secded", "tmr", "clusters"])
@pytest.mark.parametrize("ber", BERS[:3])
def test_twenty_trials_say_something_of_the_rarest_upsets(name, ber):
    settings, exact = CASES[name]
    covered, campaigns = 0, 60
    for seed in range(campaigns):
        drawn = memory(settings, seed)
        values = [float(COST[pattern(drawn.draw(ber, i).maps["a"])]) for i in range(20)]
        drops = Drops(tuple(values), 95.0, drawn.population.chance(ber), True)
        low, high = drops.any_law(0.95)
        assert low < high < 100.0 * drops.chance
        covered += low <= exact(ber) <= high
    assert covered >= 0.95 * campaigns - 2


def test_what_is_struck_is_what_is_counted():
    drawn = memory({}, 1)
    for trial in range(20):
        found = drawn.draw(0.2, trial)
        assert found.struck == ((found.maps["a"].upsets,) * 2,)


def test_maps_nest_where_nothing_is_protected():
    drawn = ConditionalMemory([SiteMemory("a", 300, 4, parse_settings({"ber": 0.0}))], 1)
    for trial in range(50):
        low, high = (drawn.draw(ber, trial).maps["a"].map for ber in (1e-3, 0.02))
        struck = dict(zip(high.index.tolist(), high.mask.tolist()))
        assert low.index.size
        for word, mask in zip(low.index.tolist(), low.mask.tolist()):
            assert mask & ~struck[word] == 0


def test_sites_share_the_upsets_by_their_sizes():
    given = parse_settings({"ber": 0.0})
    sites = [SiteMemory("a", 30, 4, given), SiteMemory("b", 10, 4, given)]
    drawn = ConditionalMemory(sites, 1)
    hits = {"a": 0, "b": 0}
    for trial in range(2000):
        for name, found in drawn.draw(1e-9, trial).maps.items():
            hits[name] += found.upsets
    assert sum(hits.values()) == 2000  # one each
    assert abs(hits["a"] - 1500) < 4.5 * np.sqrt(2000 * 0.75 * 0.25)


def test_a_large_memory_costs_what_its_upsets_cost():
    given = parse_settings({"ber": 0.0})
    drawn = ConditionalMemory([SiteMemory("a", 1 << 29, 16, given)], 1)  # 2**33 bits
    found = drawn.draw(1e-9, 0)
    assert 1 <= found.maps["a"].upsets < 40
    assert found.maps["a"].map.index.max() < 1 << 29
