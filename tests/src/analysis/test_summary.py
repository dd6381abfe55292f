"""Summaries by hand."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.analysis.by_ber import isotonic
from seu_plugin.analysis.summary import summarize
from seu_plugin.analysis.trials import Outcomes, Trial, TrialResult
from seu_plugin.errors import ConfigError
from seu_plugin.settings.campaign import CampaignSettings

GOLDEN = TrialResult(Trial(0), (98.0,), bits=1000)


def result(number, ber, accuracy, **values):
    return TrialResult(Trial(number, ber), (accuracy,), **values)


def summary(results, strata=None, **campaign):
    return summarize(GOLDEN, results, CampaignSettings(**campaign), strata or {})


def test_one_ber_by_hand():
    rows = [result(i, 1e-3, a, upsets=i) for i, a in enumerate((98.0, 97.0, 93.0, 96.0))]
    (ber,) = summary(rows).bers
    assert (ber.trials, ber.ran, ber.upsets) == (4, 4, 1.5)
    assert (ber.mean, ber.drop, ber.worst) == (96.0, 2.0, 93.0)
    assert ber.deviation == pytest.approx(2.1602469)
    assert ber.drop_normal_interval.high == pytest.approx(2.0 + 3.1824463 * 2.1602469 / 2)
    assert ber.drop_any_law_interval.high > ber.drop_normal_interval.high
    assert ber.chance == 1.0
    assert ber.exceeding == 0.5  # a drop of 1.0 does not exceed 1.0
    assert ber.exceeding_interval == pytest.approx((0.0675860, 0.9324140))


def test_accuracies_stay_between_0_and_100():
    rows = [result(0, 1e-3, 0.0), result(1, 1e-3, 98.0)]
    (ber,) = summary(rows).bers
    assert ber.drop_normal_interval == (-2.0, 98.0)
    low, high = ber.drop_any_law_interval
    assert -2.0 <= low < 49.0 < high <= 98.0


def test_one_trial_says_nothing_of_the_spread():
    (ber,) = summary([result(0, 1e-3, 90.0)]).bers
    assert ber.deviation is None
    assert ber.drop_normal_interval == ber.drop_any_law_interval
    assert ber.drop_any_law_interval.high - ber.drop_any_law_interval.low > 50.0


def test_steps_are_paired_by_trial_number():
    rows = [result(i, 1e-4, 97.0 - i) for i in range(3)]
    rows += [result(i, 1e-3, 95.0 - i) for i in (0, 2)]
    low, high = summary(rows).bers
    assert low.step is None
    assert high.step == 2.0
    assert high.step_interval.low < 2.0 < high.step_interval.high  # never of width 0


def test_the_order_of_rows_does_not_matter():
    rows = [result(i, ber, 98.0 - i * ber * 1e3) for i in range(9) for ber in (1e-4, 1e-3)]
    shuffled = random.Random(1).sample(rows, len(rows))
    assert summary(rows) == summary(shuffled)


def test_outcomes_add_up_or_are_unknown():
    rows = [result(i, 1e-3, 90.0, outcomes=Outcomes(1, 2, 3, 4)) for i in range(2)]
    assert summary(rows).bers[0].outcomes == Outcomes(2, 4, 6, 8)
    assert summary([*rows, result(2, 1e-3, 90.0)]).bers[0].outcomes is None


def test_upsets_add_up_by_site():
    rows = [result(i, 1e-3, 90.0, upsets_by_site={"fc": 1, "a": i}) for i in range(3)]
    assert summary(rows).upsets_by_site == {"a": 3, "fc": 3}


def test_each_architecture_has_its_rows_and_threshold():
    golden = TrialResult(Trial(0), (98.0, 90.0))
    rows = [TrialResult(Trial(i, ber), (97.0, 50.0)) for i in range(2) for ber in (0.1, 0.2)]
    found = summarize(golden, rows, CampaignSettings(), {})
    assert [(b.architecture, b.drop) for b in found.bers] == [(0, 1.0)] * 2 + [(1, 40.0)] * 2
    assert len(found.thresholds) == 2


def stratum_result(number, accuracy, exhaustive=False, bit=0):
    trial = Trial(number, None, "fc", bit, 1, exhaustive)
    return TrialResult(trial, (accuracy,), outcomes=Outcomes(9, 0, int(accuracy < 98), 0))


def test_strata_by_hand():
    rows = [stratum_result(i, a) for i, a in enumerate((98.0, 96.0))]
    rows += [stratum_result(i, a, True, bit=1) for i, a in enumerate((98.0, 97.0, 98.0))]
    found = summary(rows, {"fc#0": 40, "fc#1": 3, "fc#2": 40}, sensitivity={"trials": 3})
    sampled, exhaustive = found.sensitivity
    assert (sampled.drop, sampled.worst, sampled.critical) == (1.0, 2.0, 0.5)
    assert sampled.interval.low < 0 < sampled.interval.high
    assert (exhaustive.exhaustive, exhaustive.drop) == (True, pytest.approx(1 / 3))
    assert exhaustive.interval == (exhaustive.drop, exhaustive.drop)


def test_a_summary_is_a_json_document():
    rows = [result(0, 1e-3, 90.0), stratum_result(0, 97.0)]
    found = summary(rows, {"fc#0": 40}, sensitivity={})
    json.loads(json.dumps(found.document(), allow_nan=False))


def test_no_trial_is_an_error():
    with pytest.raises(ConfigError, match="has no trial yet"):
        summary([])


def placed(number, upsets, drop, exhaustive=False):
    return TrialResult(Trial(number, None, "fc", 7, upsets, exhaustive), (98.0 - drop,))


def test_drops_per_upset_are_of_the_study_that_is_planned_now():
    earlier = [placed(n, 1, 1.0) for n in range(3)]
    now = [placed(n, 50, 5.0 + n) for n in range(3)]
    for study, drop in (({}, 1.0), ({"upsets": 50}, 6.0 / 50)):
        (found,) = summary([*earlier, *now], {"fc#7": 1000}, sensitivity=study).sensitivity
        assert (found.trials, found.drop) == (3, pytest.approx(drop))


def test_a_study_that_became_exhaustive_leaves_its_sample_out():
    sample = [placed(n, 1, 9.0) for n in range(2)]
    every = [placed(n, 1, 1.0, exhaustive=True) for n in range(4)]
    (found,) = summary([*sample, *every], {"fc#7": 4}, sensitivity={"trials": 5}).sensitivity
    assert (found.trials, found.exhaustive, found.drop) == (4, True, 1.0)


def test_what_protection_did_is_a_mean_over_fault_maps():
    rows = [result(i, 1e-3, 98.0, residual=2 * i, corrected=i, detected=0) for i in range(3)]
    (ber,) = summary(rows).bers
    assert (ber.residual, ber.corrected, ber.detected) == (2.0, 1.0, 0.0)
    (ber,) = summary([result(0, 1e-3, 98.0)]).bers
    assert ber.residual is None


@given(st.lists(st.floats(-2, 98), min_size=1, max_size=12))
def test_an_isotonic_fit_never_falls_and_keeps_the_mean(values):
    found = isotonic(values)
    assert found == sorted(found)
    assert sum(found) == pytest.approx(sum(values), abs=1e-6)
    assert isotonic(sorted(values)) == sorted(values)


def test_an_isotonic_fit_by_hand():
    assert isotonic([0.0, 3.0, 1.0, 5.0]) == [0.0, 2.0, 2.0, 5.0]


def test_the_band_is_wider_than_each_interval():
    rows = [result(i, ber, 97.0 - i * ber * 1e3) for ber in (1e-4, 1e-3) for i in range(6)]
    for ber in summary(rows).bers:
        one, band = ber.drop_normal_interval, ber.drop_band_interval
        assert band.low < one.low < one.high < band.high


def test_strata_tell_how_margins_move():
    from dataclasses import replace

    import made_up

    rows, strata = made_up.sensitivity(by=("layer",))
    moved = [replace(row, margin=-0.2 - 0.01 * row.trial.number) for row in rows]
    found = made_up.summary([*made_up.results(), *moved], strata).sensitivity
    assert [one.margin for one in found] == pytest.approx([-0.215] * 3)
    assert all(one.margin_interval.low < -0.215 < one.margin_interval.high for one in found)
    assert made_up.summary([*made_up.results(), *rows], strata).sensitivity[0].margin is None
