"""Trials of a few BERs give the drop at every one, exactly on average."""

import numpy as np
import pytest

from seu_plugin.analysis.curve import curve
from seu_plugin.analysis.trials import Trial, TrialResult
from seu_plugin.faults.population import Kind, Population, Struck, count_words

BERS = (1e-5, 1e-4, 1e-3)
MEMORY = Population((Kind(1000, 1, 1),))


def cost(k):
    """Points that k upsets cost."""
    return min(0.7 * k + 0.05 * k * k, 80.0)


def exact(ber):
    k = np.arange(200)
    log = np.cumsum(np.log(np.maximum(1000 - k[:-1], 1)) - np.log(k[1:]))
    weights = np.exp(np.concatenate(([0.0], log)) + k * np.log(ber) + (1000 - k) * np.log1p(-ber))
    return float(weights @ [cost(n) for n in k])


def results(seed, trials=20, bers=BERS):
    found = []
    for number in range(trials):
        words = count_words(seed, number, 1)
        noise = 1.0 + 0.2 * (number % 3 - 1)
        for ber in bers:
            (k,) = MEMORY.counts(ber, words)
            trial, struck = Trial(number, ber), (tuple(Struck(k, k)),)
            found.append(TrialResult(trial, (90.0 - noise * cost(k),), struck=struck))
    return found


def points(rows, population=MEMORY):
    return curve(rows, population, (90.0,), 0, 0.95)


def test_the_curve_is_right_on_average_between_the_bers_too():
    found = [points(results(seed, 21)) for seed in range(150)]
    bers = [point.ber for point in found[0]]
    assert len(bers) > 15 and {*BERS} <= {*bers}
    for i in range(0, len(bers), 3):
        drops = np.array([one[i].drop for one in found])
        error = drops.std(ddof=1) / np.sqrt(len(drops))
        assert abs(drops.mean() - exact(bers[i])) < 4.5 * error


def test_its_intervals_cover_the_truth():
    held = total = 0
    for seed in range(100):
        for point in points(results(seed, 21))[::4]:
            held += point.low <= exact(point.ber) <= point.high
            total += 1
    assert held / total > 0.9


def test_trials_of_all_bers_say_more_than_those_of_one():
    (at,) = (p for p in points(results(1)) if p.ber == 1e-4)
    assert at.effective > 20


def test_there_is_no_point_where_no_trial_is_like_it():
    rows = results(1, bers=(1e-5, 0.03))
    bers = [point.ber for point in points(rows)]
    assert 1e-5 in bers and not any(2e-3 < ber < 0.02 for ber in bers)


def test_plain_trials_have_no_curve():
    assert points(results(1), None) == ()
    plain = [TrialResult(r.trial, r.metrics) for r in results(1)]
    assert points(plain) == ()
    assert points(results(1, trials=1)) == ()


@pytest.mark.parametrize("drop", [0.0, 5.0])
def test_equal_trials_have_no_normal_interval_of_width_0(drop):
    rows = [TrialResult(r.trial, (90.0 - drop,), struck=r.struck) for r in results(1, bers=(1e-9,))]
    (point,) = points(rows)
    assert point.low is None and point.high is None
    assert point.drop == pytest.approx(drop * MEMORY.chance(1e-9))


def test_more_trials_at_one_ber_are_not_thrown_away():
    """As after `until`: 20 numbers have every BER, 400 have the highest one."""
    few, many = results(5, 20), results(5, 400)
    more = [r for r in many if r.trial.ber == BERS[-1] and r.trial.number >= 20]
    (narrow,) = (p for p in points([*few, *more]) if p.ber == BERS[-1])
    (wide,) = (p for p in points(few) if p.ber == BERS[-1])
    assert narrow.high - narrow.low < 0.4 * (wide.high - wide.low)
    assert narrow.low <= exact(BERS[-1]) <= narrow.high
    at_low = [next(p for p in points(rows) if p.ber == BERS[0]) for rows in ([*few, *more], few)]
    assert at_low[0].drop == pytest.approx(at_low[1].drop, rel=0.05)


def test_stray_rows_change_little():
    rows = results(3, 200)
    clean = {p.ber: p for p in points(rows)}
    stray = [r for r in results(3, 3, (3e-4,)) if r.trial.number < 2]
    for p in points([*rows, *stray]):
        if p.ber in clean:
            assert p.drop == pytest.approx(clean[p.ber].drop, rel=0.05)
    # One number alone says nothing of how such scatter: it is left out, and the others are not.
    alone = results(9, 151, (3e-4,))[-1:]
    without = [r for r in rows if r.trial.number != 150]
    assert points([*rows, *alone]) == points(without)


def test_uneven_numbers_are_covered_too():
    held = total = 0
    for seed in range(80):
        rows = results(seed, 60)
        uneven = [r for r in rows if r.trial.number < 20 or r.trial.ber == BERS[1]]
        for point in points(uneven)[::4]:
            held += point.low <= exact(point.ber) <= point.high
            total += 1
    assert held / total > 0.9
