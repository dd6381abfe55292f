"""The threshold search on a synthetic evaluation with a known law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.analysis import threshold, threshold_search
from seu_plugin.analysis.brackets import interpolated
from seu_plugin.analysis.curve import CurvePoint
from seu_plugin.analysis.drops import Drops
from seu_plugin.analysis.intervals import Interval
from seu_plugin.analysis.threshold import evidence
from seu_plugin.analysis.threshold_search import HIGHEST


def estimate(drops, max_drop, confidence):
    return threshold.estimate(evidence(drops, confidence), max_drop, confidence)


def next_bers(drops, max_drop, confidence, tolerance):
    known = evidence(drops, confidence)
    return threshold_search.next_bers(known, list(drops), max_drop, tolerance, conditional=False)


GRID = (1e-5, 1e-4, 1e-3, 1e-2)


def at(values, golden=100.0):
    return Drops(tuple(float(value) for value in values), golden)


class Law:
    """Mean drop 100 * ber / (ber + half), with noise that a trial keeps at every BER."""

    def __init__(self, seed, trials=20, half=0.03, noise=0.3):
        generator = np.random.Generator(np.random.Philox(seed))
        # Relative noise: it vanishes with the drop, as that of upsets does.
        self.noise = 1.0 + noise * generator.standard_normal(trials)
        self.half = half

    def __call__(self, ber):
        return at(100.0 * ber / (ber + self.half) * self.noise)

    def threshold(self, max_drop):
        return self.half * max_drop / (100.0 - max_drop)


def search(law, max_drop=1.0, tolerance=0.1, bers=GRID):
    drops = {ber: law(ber) for ber in bers}
    while True:
        added = next_bers(drops, max_drop, 0.95, tolerance)
        if not added:
            return drops, estimate(drops, max_drop, 0.95)
        drops.update((ber, law(ber)) for ber in added)


def test_the_true_threshold_is_in_the_interval_at_no_less_than_the_nominal_rate():
    campaigns, covered = 200, 0
    for seed in range(campaigns):
        law = Law(seed)
        _, found = search(law)
        covered += found.low <= law.threshold(1.0) <= found.high
    # At least 95 %: the ends are the outer ends of brackets.
    assert covered / campaigns > 0.95 - 4 * math.sqrt(0.95 * 0.05 / campaigns)


@pytest.mark.parametrize("max_drop", [0.5, 1.0, 20.0])
def test_without_noise_the_threshold_is_found_to_the_tolerance(max_drop):
    law = Law(0, noise=1e-6)
    _, found = search(law, max_drop, 0.02)
    truth = law.threshold(max_drop)
    assert found.low <= truth <= found.high
    assert found.high / found.low <= 10**0.041  # two brackets, where one ends in it
    assert found.ber == pytest.approx(truth, rel=0.01)


def test_the_search_evaluates_few_bers():
    drops, _ = search(Law(1))
    assert len(drops) <= len(GRID) + 12


def test_a_threshold_outside_the_grid_is_looked_for():
    law = Law(0, half=1e-9, noise=1e-6)
    assert search(law)[1].ber == pytest.approx(law.threshold(1.0), rel=0.1)
    law = Law(0, half=20.0, noise=1e-6)
    assert search(law)[1].ber == pytest.approx(law.threshold(1.0), rel=0.1)


def test_a_net_that_never_drops_is_above_every_ber():
    drops, found = search(lambda ber: at([0.0] * 19 + [0.1]))
    assert found.ber is None and found.high is None and found.low == HIGHEST
    assert max(drops) == HIGHEST
    assert "above every BER" in found.text() and "at no BER" in found.sentence()


def test_a_noisy_mean_below_the_target_is_not_said_to_be_above_it():
    found = estimate({1e-3: at([0.0, 1.9]), 1e-2: at([0.0, 1.8])}, 1.0, 0.95)
    assert (found.ber, found.low, found.high) == (None, None, None)
    assert "at no BER that was evaluated" in found.sentence()
    found = estimate({1e-3: at([0.2, 1.9]), 1e-2: at([1.0, 1.8])}, 1.0, 0.95)
    assert found.ber is None and "already at the lowest BER" in found.sentence()


def test_an_interval_may_be_open_on_one_side():
    found = estimate({1e-3: at([0.0, 0.1]), 1e-2: at([0.0, 40.0])}, 1.0, 0.95)
    assert found.ber is not None and found.high is None
    assert "unbounded" in found.text()


def test_bers_can_be_written_down():
    for ber in next_bers({1e-4: at([0.0, 0.1]), 1e-3: at([9.0, 9.2])}, 1.0, 0.95, 0.1):
        assert ber == float(f"{ber:.2e}")


def test_noise_is_met_with_the_first_and_the_last_crossing():
    means = {1e-4: 0.0, 2e-4: 2.0, 3e-4: 0.5, 4e-4: 3.0}
    drops = {ber: at([mean - 1e-9, mean + 1e-9]) for ber, mean in means.items()}
    found = estimate(drops, 1.0, 0.95)
    assert (found.low, found.high) == (1e-4, 4e-4)
    assert 1e-4 < found.ber < 2e-4
    assert found.crossings[0] == found.ber and len(found.crossings) == 3
    first, second, third = found.crossings
    assert first < 2e-4 < second < 3e-4 < third < 4e-4
    assert f"also passes that drop at {second:.3g}, {third:.3g}" in found.sentence()


def test_a_mean_that_starts_above_and_falls_has_no_first_rise():
    found = estimate({1e-4: at([3.0, 3.1]), 1e-3: at([0.2, 0.3]), 1e-2: at([9.0, 9.1])}, 1.0, 0.95)
    assert found.ber is None and len(found.crossings) == 2
    assert "already at the lowest BER that was evaluated; the mean also passes" in found.sentence()


def test_equal_trials_give_the_end_no_false_sharpness():
    drops = {1e-5: at([0.0] * 20), 1e-3: at([0.0] * 20), 1e-2: at([80.0] * 20)}
    found = estimate(drops, 1.0, 0.95)
    assert (found.low, found.high) == (found.any_law_low, found.any_law_high)
    assert found.low is None  # one map in six may still lose all at each of them


def test_points_of_the_curve_close_a_bracket_without_trials():
    drops = {1e-4: at([0.1, 0.11]), 1e-2: at([40.0, 41.0])}
    between = [CurvePoint(b, m, m - 1e-3, m + 1e-3, 30.0) for b, m in ((9e-4, 0.9), (1e-3, 1.1))]
    known = evidence(drops, 0.95, between)
    found = threshold.estimate(known, 1.0, 0.95)
    assert (found.low, found.high) == (9e-4, 1e-3) and 9e-4 < found.ber < 1e-3
    assert (found.any_law_low, found.any_law_high) == (None, 1e-2)  # of the trials drawn alone
    assert not threshold_search.next_bers(known, list(drops), 1.0, 0.1, conditional=False)
    assert next_bers(drops, 1.0, 0.95, 0.1)


def test_the_interval_of_other_images_is_the_one_that_is_told():
    drops = {1e-4: at([0.1, 0.2]), 1e-3: at([0.1, 0.2]), 1e-2: at([40.0, 41.0])}
    images = {1e-4: Interval(0.0, 0.5), 1e-3: Interval(-2.0, 2.0), 1e-2: Interval(20.0, 60.0)}
    known = evidence(drops, 0.95, (), images)
    found = threshold.estimate(known, 1.0, 0.95)
    assert found.headline == (1e-4, 1e-2) == (found.two_way_low, found.two_way_high)
    assert "interval 0.0001 ... 0.01, other images too, if drops are near normal)" in found.text()
    assert "for these images alone: near normal 0.001 ... 0.01" in found.others()


def test_the_widest_bracket_is_looked_into_first_and_its_neighbours_wait():
    drops = {1e-6: at([0.1, 0.2]), 1e-2: at([0.9, 0.95]), 3e-2: at([40.0, 41.0])}
    images = {1e-6: Interval(0.0, 0.5), 1e-2: Interval(0.5, 2.0), 3e-2: Interval(20.0, 60.0)}
    known = evidence(drops, 0.95, (), images)
    # Of other images, 1e-6 ... 1e-2; of the mean, 1e-2 ... 3e-2, more than a decade away.
    assert threshold_search.next_bers(known, list(drops), 1.0, 0.1, False) == [1e-4, 1.73e-2]
    drops[1e-3] = at([0.2, 0.3])
    images[1e-3] = Interval(0.1, 0.7)
    known = evidence(drops, 0.95, (), images)
    assert threshold_search.next_bers(known, list(drops), 1.0, 0.1, False) == [3.16e-3]


def test_equal_trials_stay_wide_where_the_curve_has_points():
    drops = {1e-4: at([0.0] * 20), 1e-3: at([5.0, 5.1] * 10)}
    curve = [CurvePoint(1e-4, 0.02, -0.02, 0.06, 30.0), CurvePoint(1e-3, 5.0, 4.9, 5.1, 30.0)]
    found = threshold.estimate(evidence(drops, 0.95, curve), 1.0, 0.95)
    assert found.low is None and found.high == 1e-3


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 2), st.floats(0, 2)), min_size=2, max_size=6)
)
def test_an_interval_of_other_images_holds_the_estimate(rows):
    drops, images, curve = {}, {}, []
    for i, (mean, half, other) in enumerate(rows):
        ber = 10.0 ** (i - 6)
        drops[ber] = at([mean - 0.01, mean + 0.01])
        images[ber] = Interval(mean - half, mean + half)
        curve.append(CurvePoint(ber, mean + other - 1, mean + other - 2, mean + other, 20.0))
    found = threshold.estimate(evidence(drops, 0.95, curve, images), 1.0, 0.95)
    if found.ber is not None:
        low, high = found.headline
        assert (low or 0.0) <= found.ber <= (high or 1.0)


def test_a_plain_search_does_not_go_below_trials_that_are_all_equal():
    drops, _ = search(lambda ber: at([0.0] * 20 if ber < 5e-4 else [30.0, 31.0] * 10))
    assert min(drops) == min(GRID)


def test_the_ends_for_any_law_are_looked_for_to_a_decade():
    drops = {1e-6: Drops((0.1, 0.2) * 10, 90.0, 1.0, True), 1e-1: at([40.0, 41.0] * 10)}
    drops.update({ber: at([1.0 + i, 1.1 + i]) for i, ber in enumerate((1e-3, 1.1e-3))})
    known = [
        threshold.At(1e-6, 0.1, Interval(0.0, 0.2), Interval(0.0, 0.5)),
        threshold.At(1e-3, 0.9, Interval(0.8, 1.1), Interval(0.0, 20.0)),
        threshold.At(1.1e-3, 1.1, Interval(1.05, 1.2), Interval(0.0, 21.0)),
        threshold.At(1e-2, 9.0, Interval(8.0, 10.0), Interval(2.0, 30.0)),
    ]
    bers = [one.ber for one in known]
    assert threshold_search.next_bers(known, bers, 1.0, 3.0) == []
    looked = threshold_search.next_bers(known[:2] + known[3:], [1e-6, 1e-3, 1e-2], 1.0, 1.0)
    assert looked == [3.16e-5]  # between the two lowest, for the upper end for any law


@pytest.mark.parametrize("level", [5.0, 20.0, 80.0])
def test_means_next_to_each_other_have_a_place_between_them(level):
    line = [(1e-3, math.nextafter(level, 0.0)), (1e-2, level)]
    assert 1e-3 < interpolated(line, (1e-3, 1e-2), level) <= 1e-2


def test_a_drop_that_is_not_reached_is_told_with_how_far_it_is_known():
    known = evidence({1e-4: at([0.1, 0.11]), 1e-3: at([0.5, 0.9])}, 0.95)
    sentence = threshold.estimate(known, 1.0, 0.95).sentence()
    assert "no BER that was evaluated; it is shown to drop less up to BER 0.0001 (95 %" in sentence
    known = evidence({1e-4: at([0.0] * 20)}, 0.95)
    assert "at none is it shown to drop less" in threshold.estimate(known, 1.0, 0.95).sentence()
