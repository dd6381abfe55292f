"""Bits drawn by their scores: unbiased whatever the scores are, better the better they are."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seu_plugin.analysis.critical import (
    CRITICAL,
    CriticalPlan,
    critical_summary,
    inclusion,
    plan_of,
    read_plan,
    used_up,
    write_plan,
)
from seu_plugin.analysis.trials import TrialResult
from seu_plugin.errors import ConfigError

BITS = {"fc": (0, 1, 2, 3)}


def made(scores, trials, seed=1):
    return plan_of({"fc": np.asarray(scores, dtype=np.float32).reshape(-1, 4)}, BITS, trials, seed)


def results(plan, drops):
    """Rows of a plan over a memory with these drops."""
    table = np.asarray(drops).reshape(-1, 4)
    return [TrialResult(t, (98.0 - float(table[t.number, t.bit]),)) for t in plan.trials()]


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(0, 5))
def test_probabilities_add_up_to_the_trials(trials, seed):
    scores = np.random.Generator(np.random.Philox(seed)).exponential(1.0, 500) ** 3
    found = inclusion(scores, trials)
    assert ((found > 0.0) & (found <= 1.0)).all()
    assert found.sum() == pytest.approx(trials, rel=1e-3)


def test_infinite_scores_are_certain_and_none_is_hopeless():
    found = inclusion(np.array([np.inf, 0.0, 1.0, 0.0]), 2)
    assert found[0] == 1.0 and (found[1:] > 0.0).all()
    assert used_up(np.array([np.inf, 1.0, 0.0])).tolist() == [1.0, 0.5, 0.0]


def test_more_trials_than_bits_try_all():
    assert inclusion(np.zeros(8), 9).tolist() == [1.0] * 8


def test_scores_of_nothing_are_a_uniform_sample():
    plan = made(np.zeros(4000), 400)
    assert len({one[3] for one in plan.drawn}) == 1
    assert 5 <= len(plan.drawn) <= 400


@pytest.mark.parametrize("good", [True, False])
def test_the_mean_is_unbiased_whatever_the_scores_are(good):
    generator = np.random.Generator(np.random.Philox(2))
    drops = np.where(generator.random(2000) < 0.01, 60.0, 0.1 * generator.random(2000))
    scores = drops if good else generator.exponential(1.0, 2000)
    means, held = [], 0
    for seed in range(300):
        plan = made(scores, 200, seed)
        found = critical_summary(plan, results(plan, drops), 98.0, 0.95)
        means.append(found.drop)
        held += found.interval.low <= drops.mean() <= found.interval.high
    error = np.std(means) / math.sqrt(len(means))
    assert abs(np.mean(means) - drops.mean()) < 4 * error
    assert held / 300 >= (0.9 if good else 0.85)


def test_good_scores_make_a_narrow_interval():
    generator = np.random.Generator(np.random.Philox(3))
    drops = np.where(generator.random(4000) < 0.01, 60.0, 0.1 * generator.random(4000))
    plans = made(drops, 200), made(np.ones(4000), 200)
    good, even = (critical_summary(p, results(p, drops), 98.0, 0.95) for p in plans)
    assert good.interval.high - good.interval.low < (even.interval.high - even.interval.low) / 3


def test_no_interval_has_width_0():
    plan = made(np.ones(400), 50)
    drops = np.zeros(400)
    drops[plan.drawn[0][1] * 4 + plan.drawn[0][2]] = 1.0
    found = critical_summary(plan, results(plan, drops), 98.0, 0.95)
    assert found.interval.high > found.interval.low


def test_a_plan_that_is_not_through_says_nothing():
    plan = made(np.ones(400), 50)
    assert critical_summary(plan, results(plan, np.zeros(400))[:-1], 98.0, 0.95) is None


def test_a_plan_is_read_as_it_was_written(tmp_path):
    assert read_plan(tmp_path) is None
    plan = made(np.ones(400), 50)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


@pytest.mark.parametrize(
    "change", [{"bits": 0}, {"drawn": [["fc", 1, 2, 0.0]]}, {"drawn": [["fc", -1, 2, 0.5]]}]
)
def test_a_damaged_plan_is_named(tmp_path, change):
    plan = {"bits": 8, "drawn": [["fc", 1, 2, 0.5]], **change}
    (tmp_path / CRITICAL).write_text(json.dumps(plan))
    with pytest.raises(ConfigError, match=r"critical\.json: "):
        read_plan(tmp_path)


def test_the_same_seed_draws_the_same_bits():
    assert made(np.arange(400.0), 50) == made(np.arange(400.0), 50)
    assert made(np.arange(400.0), 50, 2) != made(np.arange(400.0), 50)
    assert isinstance(made(np.arange(400.0), 50), CriticalPlan)
