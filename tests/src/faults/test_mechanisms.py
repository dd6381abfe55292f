"""The fault models against their closed forms. Fixed seeds: z-scores are what they are."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from seu_plugin.faults.fault_map import popcount
from seu_plugin.faults.mechanisms import (
    Asymmetric,
    AsymmetricRates,
    Clusters,
    ClusterSettings,
    Flips,
    StuckAt,
)
from seu_plugin.faults.seeding import Streams
from seu_plugin.memory.layout import Array

WORDS, WIDTH = 20_000, 5
CELL_MODELS = [
    Flips(),
    StuckAt(0),
    StuckAt(1),
    StuckAt("random"),
    Asymmetric(AsymmetricRates(zero_to_one=1.0, one_to_zero=0.25)),
]


def z_score(seen, cells, rate):
    return (seen - cells * rate) / math.sqrt(cells * rate * (1 - rate))


def drawn(model, ber, trial=0, words=WORDS, width=WIDTH):
    return model.draw(Streams(7, "layer", trial), "", words, width, ber)


def stored_words(words=WORDS, width=WIDTH):
    return np.random.default_rng(1).integers(0, 1 << width, words).astype(np.int32)


def read(model, ber, trial=0):
    stored = stored_words()
    cells, _ = drawn(model, ber, trial)
    after = stored.copy()
    after[cells.index] ^= cells.flips(stored[cells.index])
    return stored, after


def bits(words):
    return (words[:, None] >> np.arange(WIDTH) & 1).astype(bool)


@pytest.mark.parametrize(("value", "kept"), [(0, 0), (1, 1)])
@pytest.mark.parametrize("ber", [1e-3, 0.3])
def test_stuck_cells_are_binomial_and_change_what_differs_from_their_value(value, kept, ber):
    stuck = changed = 0
    for trial in range(50):
        stored, after = read(StuckAt(value), ber, trial)
        assert not (bits(stored ^ after) & (bits(stored) == bool(kept))).any()
        changed += bits(stored ^ after).sum()
        stuck += drawn(StuckAt(value), ber, trial)[1][0].struck
    cells = 50 * WORDS * WIDTH
    others = 50 * (bits(stored_words()) != bool(kept)).sum()
    assert abs(z_score(stuck, cells, ber)) < 4
    assert abs(z_score(changed, others, ber)) < 4


def test_a_cell_stuck_at_random_holds_0_and_1_alike_often():
    ones = cells = 0
    for trial in range(50):
        found, _ = drawn(StuckAt("random"), 0.01, trial)
        assert not (found.up & found.down).any()
        ones += popcount(found.up)
        cells += popcount(found.up | found.down)
    assert abs(z_score(ones, cells, 0.5)) < 4


@pytest.mark.parametrize("value", [0, 1, "random"])
@pytest.mark.parametrize("ber", [1e-3, 0.3, 1.0])
def test_stuck_at_is_idempotent(value, ber):
    stored, after = read(StuckAt(value), ber)
    cells, _ = drawn(StuckAt(value), ber)
    again = after.copy()
    again[cells.index] ^= cells.flips(after[cells.index])
    assert np.array_equal(after, again)
    assert not np.array_equal(stored, after)


def test_stuck_cells_are_those_that_a_flip_would_upset():
    flips, stuck = drawn(Flips(), 1e-3)[0], drawn(StuckAt("random"), 1e-3)[0]
    assert np.array_equal(flips.index, stuck.index)
    assert np.array_equal(flips.up, stuck.up | stuck.down)


@pytest.mark.parametrize(("up", "down"), [(1.0, 0.1), (0.0, 2.0), (1.0, 1.0)])
def test_asymmetric_rates_hold_for_the_bits_that_store_0_and_1(up, down):
    ber, zeros, ones, rose, fell = 2e-3, 0, 0, 0, 0
    for trial in range(50):
        stored, after = read(
            Asymmetric(AsymmetricRates(zero_to_one=up, one_to_zero=down)), ber, trial
        )
        held, changed = bits(stored), bits(stored ^ after)
        zeros, ones = zeros + (~held).sum(), ones + held.sum()
        rose, fell = rose + (changed & ~held).sum(), fell + (changed & held).sum()
    for seen, cells, rate in ((rose, zeros, ber * up), (fell, ones, ber * down)):
        assert seen == 0 if rate == 0 else abs(z_score(seen, cells, rate)) < 4


def test_rises_and_falls_of_one_map_are_independent():
    model = Asymmetric(AsymmetricRates())
    counts = [tuple(one.struck for one in drawn(model, 1e-2, t, 500)[1]) for t in range(2000)]
    r = np.corrcoef(np.array(counts).T)[0, 1]
    assert abs(r) < 4 / math.sqrt(2000)


@given(lower=st.floats(1e-6, 0.5), factor=st.floats(1.0, 2.0), trial=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("model", CELL_MODELS, ids=str)
def test_cells_struck_at_a_lower_rate_are_struck_at_a_higher_one(model, lower, factor, trial):
    low, high = (drawn(model, ber, trial, 300)[0] for ber in (lower, lower * factor))
    up, down = np.zeros(300, np.int32), np.zeros(300, np.int32)
    up[high.index], down[high.index] = high.up, high.down
    assert not (low.up & ~up[low.index]).any() and not (low.down & ~down[low.index]).any()


@pytest.mark.parametrize("model", CELL_MODELS, ids=str)
def test_sparse_and_dense_draws_are_binomial(model):
    for ber in (1e-4, 0.2):
        seen = [one for trial in range(30) for one in drawn(model, ber, trial)[1]]
        for what in {one.what for one in seen}:
            same = [one for one in seen if one.what == what]
            struck, cells = sum(o.struck for o in same), sum(o.cells for o in same)
            assert abs(z_score(struck, cells, same[0].rate)) < 4


# -- clusters ------------------------------------------------------------------------------------

SIZES = ClusterSettings(sizes={1: 0.6, 2: 0.3, 4: 0.1})
ARRAY = Array(2000, 32, 32)


def clusters(settings_, ber, trial=0, array=ARRAY):
    return Clusters(settings_).draw(Streams(7, "layer", trial), "", array, ber)


def test_events_are_binomial_with_the_rate_that_makes_ber_the_mean():
    events = sum(clusters(SIZES, 1e-3, trial)[2][0].struck for trial in range(100))
    assert abs(z_score(events, 100 * ARRAY.cells, 1e-3 / 1.6)) < 4


def test_sizes_follow_their_distribution():
    model, seen = Clusters(SIZES), Counter()
    for trial in range(200):
        key = Streams(7, "layer", trial).of("cluster sizes").word()
        from seu_plugin.faults.seeding import mixed

        seen.update(model._sizes(mixed(key, np.arange(500))).tolist())
    expected = [100_000 * share for share in (0.6, 0.3, 0.1)]
    assert stats.chisquare([seen[1], seen[2], seen[4]], expected).pvalue > 1e-4


@pytest.mark.parametrize("shape", ["row", "column", "block"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_each_event_upsets_neighbours_of_the_declared_shape(shape, size):
    settings_ = ClusterSettings(sizes={size: 1.0}, shape=shape)
    array = Array(1024, 32, 32)
    for trial in range(400):  # few events, so that clusters do not meet
        word, bit, draws = clusters(settings_, size / array.cells, trial, array)
        if draws[0].struck == 1:
            break
    cells = sorted(zip(*(x.tolist() for x in array.cell(word, bit))))
    assert len(cells) == size
    rows = {r for r, _ in cells}
    columns = {c for _, c in cells}
    side = math.isqrt(size - 1) + 1
    spread = {"row": (1, size), "column": (size, 1), "block": (-(-size // side), min(side, size))}
    assert (len(rows), len(columns)) == spread[shape]


def test_every_cell_is_upset_at_the_ber_at_the_edges_too():
    array, ber = Array(64, 16, 16), 0.02
    seen = np.zeros((array.rows, array.row_cells))
    for trial in range(2000):
        word, bit, _ = clusters(SIZES, ber, trial, array)
        np.add.at(seen, array.cell(word, bit), 1)
    z = (seen - 2000 * ber) / np.sqrt(2000 * ber)
    assert abs(z[:, 0].sum() / math.sqrt(z[:, 0].size)) < 4
    assert abs(z[:, -1].sum() / math.sqrt(z[:, -1].size)) < 4
    assert abs(z).max() < 6


def test_clusters_of_a_lower_rate_are_among_those_of_a_higher_one():
    low, high = (clusters(ClusterSettings(sizes={1: 0.5, 3: 0.5}), ber) for ber in (1e-3, 2e-3))
    pairs = [Counter(zip(w.tolist(), b.tolist())) for w, b, _ in (low, high)]
    assert not pairs[0] - pairs[1] and sum(pairs[0].values()) < sum(pairs[1].values())


def test_a_site_of_one_row_keeps_its_rate_under_columns():
    array, ber = Array(8, 32, 32), 0.02
    settings_ = ClusterSettings(sizes={3: 1.0}, shape="column")
    upsets = sum(clusters(settings_, ber, trial, array)[0].size for trial in range(400))
    stored = 400 * array.words * array.word_cells
    assert abs(upsets - stored * ber) < 4 * math.sqrt(stored * ber)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({1: 0.5}, "add up to 1"),
        ({0: 1.0}, "sizes in 1"),
        ({65: 1.0}, "sizes in 1"),
        ({1: 1.5, 2: -0.5}, "probabilities in"),
        ({}, "mapping of sizes"),
        ([1], "mapping of sizes"),
    ],
)
def test_bad_size_distributions_are_named(sizes, message):
    with pytest.raises(ValidationError, match=message):
        ClusterSettings(sizes=sizes)
