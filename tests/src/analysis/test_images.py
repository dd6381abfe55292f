"""Crossed maps and images: closed forms, coverage, and what a row keeps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.analysis.any_law import any_law_of
from seu_plugin.analysis.drops import Drops
from seu_plugin.analysis.images import TwoWay, golden_interval, two_way
from seu_plugin.analysis.intervals import t_quantile
from seu_plugin.analysis.packed_bits import as_words, packed, unpacked, unpacked_bits
from seu_plugin.analysis.summary import summarize
from seu_plugin.analysis.trials import Trial, TrialResult
from seu_plugin.errors import ConfigError
from seu_plugin.settings.campaign import CampaignSettings


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_bits_survive(bits):
    bits = np.array(bits)
    assert (unpacked(packed(bits), bits.size) == bits).all()


def test_a_row_keeps_about_a_bit_an_image():
    bits = np.random.Generator(np.random.Philox(1)).random(50_000) < 0.5  # the worst case
    assert len(packed(bits)) * 8 < 1.3 * 8 * bits.size / 8 + 200
    few = np.zeros(50_000, dtype=bool)
    few[[3, 40_000]] = True
    assert len(packed(few)) < 100
    assert packed(few & False) == ""


@pytest.mark.parametrize("text", ["!", "0" * 40, packed(np.ones(8, dtype=bool))])
def test_damaged_bits_are_refused(text):
    with pytest.raises(ValueError):
        unpacked(text, 800)


def matrix(two, x, golden):
    for row in x:
        two.add((row != 0) & (np.sign(row) == np.where(golden, 1, -1)))


def test_the_variance_by_hand():
    golden = np.array([True, True, True, False])
    x = np.array([[1, 0, 0, 0], [1, 1, 0, -1], [0, 0, 0, -1]], dtype=float)
    two = TwoWay(golden)
    matrix(two, x, golden)
    y = 100 * x
    n, m = y.shape
    rows, columns, mean = y.mean(axis=1), y.mean(axis=0), y.mean()
    left = ((y - rows[:, None] - columns + mean) ** 2).sum() / ((n - 1) * (m - 1))
    wanted = rows.var(ddof=1) / n + columns.var(ddof=1) / m - left / (n * m)
    assert two.standard_error() == pytest.approx(
        math.sqrt(max(wanted, rows.var(ddof=1) / n, columns.var(ddof=1) / m))
    )
    assert (two.right_to_wrong, two.wrong_to_right) == (3, 2)
    low, high = two.interval(Drops(tuple(rows), 75.0, 0.5), 0.95)
    half = t_quantile(3, 0.95) * two.standard_error()
    assert high == pytest.approx(0.5 * min(mean + half, 75.0))
    assert low == pytest.approx(0.5 * max(mean - half, -25.0))


@pytest.mark.parametrize("changed", [[], [7]])
def test_where_images_say_nothing_of_their_scatter_both_any_law_intervals_are_added(changed):
    golden, bits = np.ones(50, dtype=bool), np.zeros(50, dtype=bool)
    bits[changed] = True
    two = two_way(golden, [packed(bits)] * 20)
    mean = 2.0 * len(changed)
    drops = Drops((mean,) * 20, 100.0, 1e-3)
    of_maps = Drops((mean,) * 20, 100.0).any_law(0.95)
    of_images = any_law_of(100.0 * bits, -100.0, 100.0, 0.95)
    found = two.interval(drops, 0.95)
    for end in (0, 1):
        away = math.hypot(of_maps[end] - mean, of_images[end] - mean)
        wanted = 1e-3 * (mean + away if end else max(mean - away, 0.0))
        assert found[end] == pytest.approx(wanted, abs=1e-12)
    assert found.high > drops.any_law(0.95).high


def test_few_images_that_carry_all_have_few_degrees_of_freedom():
    m, k = 1000, 5
    two = TwoWay(np.ones(m, dtype=bool))
    for _ in range(20):
        two.add(np.arange(m) < k)
    # Of k equal images among m: a kurtosis of about m / k, so about 2 k.
    assert two.freedom() == pytest.approx(2 * k, rel=0.02)
    for row in range(20):
        two.add((np.arange(m) + row) % 20 == 0)
    assert two.freedom() > 10


@pytest.mark.parametrize("m", [100, 1000])
def test_it_covers_other_images_where_maps_alone_do_not(m):
    """Few borderline images decide: each map changes a borderline image with probability 0.4."""
    generator, runs, n = np.random.Generator(np.random.Philox(m)), 400, 20
    truth, covered, alone = 100 * 0.1 * 0.4, 0, 0
    for _ in range(runs):
        borderline = generator.random(m) < 0.1
        x = borderline & (generator.random((n, m)) < 0.4)
        two = TwoWay(np.ones(m, dtype=bool))
        for row in x:
            two.add(row)
        drops = Drops(tuple(100.0 * x.mean(axis=1)), 100.0)
        low, high = two.interval(drops, 0.95)
        covered += low <= truth <= high
        low, high = drops.normal(0.95)
        alone += low <= truth <= high
    assert covered / runs >= 0.93 - 3 * math.sqrt(0.95 * 0.05 / runs)
    assert alone / runs < 0.8


def test_the_golden_accuracy_has_an_interval():
    golden = np.arange(360) < 354
    low, high = golden_interval(golden, 0.95)
    assert low < 100 * 354 / 360 < high
    assert (low, high) == pytest.approx((96.41, 99.39), abs=0.01)


def rows_of(changed, right):
    golden = TrialResult(
        Trial(0), (100.0 * right.mean(),), images=right.size, right=(packed(right),)
    )
    trials = [
        TrialResult(
            Trial(i, 1e-3),
            (100.0 * (right ^ bits).mean(),),
            changed=(packed(bits),),
        )
        for i, bits in enumerate(changed)
    ]
    return golden, trials


def test_a_summary_has_the_interval_where_all_rows_know_their_images():
    generator = np.random.Generator(np.random.Philox(5))
    right = generator.random(80) < 0.9
    golden, trials = rows_of(generator.random((6, 80)) < 0.1, right)
    found = summarize(golden, trials, CampaignSettings(), {})
    (row,) = found.bers
    assert row.drop_two_way_interval.low < row.drop < row.drop_two_way_interval.high
    assert row.right_to_wrong + row.wrong_to_right == pytest.approx(
        sum(unpacked(t.changed[0], 80).sum() for t in trials) / 6
    )
    assert 80 * row.drop / 100 == pytest.approx(row.right_to_wrong - row.wrong_to_right)
    assert found.golden_intervals is not None
    old = [*trials[:-1], TrialResult(Trial(5, 1e-3), (90.0,))]
    (row,) = summarize(golden, old, CampaignSettings(), {}).bers
    assert row.drop_two_way_interval is None


def test_damaged_rows_are_one_line():
    golden, trials = rows_of(np.zeros((2, 80), dtype=bool), np.ones(80, dtype=bool))
    bad = [trials[0], TrialResult(Trial(1, 1e-3), (90.0,), changed=("!",))]
    with pytest.raises(ConfigError, match=r"BER 0\.001: changed"):
        summarize(golden, bad, CampaignSettings(), {})


@pytest.mark.parametrize("images", [1, 7, 8, 61, 360])
def test_many_maps_at_once_are_as_one_after_the_other(images):
    random = np.random.Generator(np.random.Philox(images))
    golden = random.random(images) < 0.7
    maps = random.random((50, images)) < random.choice([0.0, 0.01, 0.5], (50, 1))
    texts = [packed(one) for one in maps]
    bits = unpacked_bits(texts, images)
    assert bits is not None and (bits == maps).all()
    at_once, one_by_one = two_way(golden, texts), TwoWay(golden)
    for one in maps:
        one_by_one.add(one)
    for name, value in vars(one_by_one).items():
        assert np.array_equal(vars(at_once)[name], value), name


def test_texts_that_are_not_all_of_bits_are_left_to_one_by_one():
    good = packed(np.arange(9) < 3)
    words = packed(np.arange(9, dtype=np.uint16))
    damaged = ["!", "\u00e9", "~~~~~", good[:4], "0" + good, packed(np.ones(30, dtype=bool))]
    for bad in (words, *damaged):
        assert unpacked_bits([good, bad], 9) is None
    for bad in damaged:
        with pytest.raises(ValueError, match=r"."):
            unpacked(bad, 9)
    for end in range(1, len(good)):  # what is cut is as whole as :func:`unpacked` says
        found = unpacked_bits([good[:end]], 9)
        assert found is None or (found[0] == unpacked(good[:end], 9)).all()
    assert unpacked_bits([], 9).shape == (0, 9)
    assert not unpacked_bits(["", ""], 9).any()


def test_equal_drops_of_different_images_are_no_narrower_than_for_these_images():
    m, n = 1000, 20
    two = TwoWay(np.ones(m, dtype=bool))
    for i in range(n):
        two.add(np.arange(m) == i)
    drops = Drops(tuple(two.rows), 100.0)
    low, high = two.interval(drops, 0.95)
    assert low <= drops.normal(0.95).low and high >= drops.normal(0.95).high


@pytest.mark.parametrize(("maps", "images"), [(1, 50), (20, 1)])
def test_one_map_or_one_image_says_nothing_of_others(maps, images):
    generator = np.random.Generator(np.random.Philox(5))
    golden, trials = rows_of(generator.random((maps, images)) < 0.5, np.ones(images, dtype=bool))
    (row,) = summarize(golden, trials, CampaignSettings(), {}).bers
    assert row.drop_two_way_interval is None


def test_images_that_do_not_make_the_accuracy_of_their_row_are_refused():
    golden, trials = rows_of(np.zeros((2, 80), dtype=bool), np.ones(80, dtype=bool))
    bad = [trials[0], TrialResult(Trial(1, 1e-3), (90.0,), changed=("",))]
    with pytest.raises(ConfigError, match="does not make the accuracy"):
        summarize(golden, bad, CampaignSettings(), {})


def test_scores_between_0_and_1_have_a_golden_interval():
    scores = np.linspace(0.0, 1.0, 4001)
    low, high = golden_interval(as_words(scores), 0.95)
    assert 47.0 < low < 50.0 < high < 53.0
    exact = any_law_of(100.0 * scores, 0.0, 100.0, 0.95)
    assert low <= exact.low and high >= exact.high
