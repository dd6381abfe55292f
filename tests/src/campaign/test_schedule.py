"""What a campaign runs depends on results, not on their order or on an interruption."""

import random

import numpy as np
import pytest

from seu_plugin.analysis.packed_bits import packed
from seu_plugin.analysis.summary import summarize
from seu_plugin.analysis.trials import Trial, TrialResult
from seu_plugin.campaign.schedule import batches
from seu_plugin.faults.population import Kind, Population, count_words
from seu_plugin.settings.campaign import CampaignSettings

GOLDEN = TrialResult(Trial(0), (98.0,))
BERS = (1e-4, 1e-3, 1e-2)


def evaluate(trial, scale=2000.0):
    """A made-up accuracy: a function of the trial alone."""
    generator = np.random.Generator(np.random.Philox([trial.number, 7]))
    if trial.ber is None:
        return TrialResult(trial, (97.0,))
    drop = scale * trial.ber * generator.uniform(0.5, 1.5)
    return TrialResult(trial, (max(98.0 - drop, 10.0),))


def run(campaign, known=(), strata=(), stop_after=10**9):
    """Results of a campaign that begins with ``known`` and is killed after so many trials."""
    results = {r.trial.id: r for r in known}
    for batch in batches(campaign, BERS, dict(strata), GOLDEN, results):
        missing = [t for t in batch.trials if t.id not in results]
        random.Random(len(missing)).shuffle(missing)
        for trial in missing:
            if not stop_after:
                return results
            results[trial.id] = evaluate(trial)
            stop_after -= 1
    return results


def test_the_grid_alone():
    results = run(CampaignSettings(trials=3, max_drop=None))
    assert len(results) == 9


def test_the_threshold_is_searched_with_the_same_trial_numbers():
    results = run(CampaignSettings(trials=5))
    added = {r.trial.ber for r in results.values()} - set(BERS)
    assert added
    for ber in added:
        numbers = {r.trial.number for r in results.values() if r.trial.ber == ber}
        assert numbers == set(range(5))


def test_a_grid_threshold_adds_nothing():
    assert len(run(CampaignSettings(trials=5, threshold="grid"))) == 15


def test_until_adds_trials_where_they_are_needed():
    until = {"margin": 0.2, "max_trials": 60, "guarantee": "normal"}
    results = run(CampaignSettings(trials=10, until=until, max_drop=None))
    counts = [sum(r.trial.ber == ber for r in results.values()) for ber in BERS]
    assert counts[0] == 10  # hardly any spread
    assert 10 < counts[1] <= 60 and counts[2] == 60


def test_until_for_any_law_goes_on_until_the_interval_is_narrow_or_the_limit_is_met():
    wide = {"margin": 12.0, "max_trials": 400}
    counts = [
        sum(r.trial.ber == ber for r in run(settings).values())
        for settings in (
            CampaignSettings(trials=10, until=wide, max_drop=None),
            CampaignSettings(trials=10, until={**wide, "margin": 0.1}, max_drop=None),
        )
        for ber in BERS[:1]
    ]
    assert 10 < counts[0] < 100
    assert counts[1] == 400


def test_a_pilot_of_equal_drops_does_not_stop_a_normal_until():
    """One map in 33 is a catastrophe, and none of the pilot: its width of 0 says nothing."""
    until = {"margin": 1.0, "max_trials": 200, "guarantee": "normal"}
    campaign = CampaignSettings(trials=10, until=until, max_drop=None)
    results = {}
    for batch in batches(campaign, BERS[:1], {}, GOLDEN, results):
        for trial in batch.trials:
            drop = 80.0 if trial.number % 33 == 32 else 0.0
            results[trial.id] = TrialResult(trial, (98.0 - drop,))
    assert len(results) == 200


@pytest.mark.parametrize("settings", [{}, {"until": {"margin": 0.3, "max_trials": 40}}])
@pytest.mark.parametrize("stop_after", [1, 17, 31, 44, 60, 75])
def test_an_interrupted_campaign_runs_the_same_trials(settings, stop_after):
    campaign = CampaignSettings(trials=10, **settings)
    whole = run(campaign)
    part = run(campaign, stop_after=stop_after)
    assert run(campaign, part.values()) == whole


def test_leftovers_of_a_larger_campaign_do_not_turn_the_search():
    campaign = CampaignSettings(trials=5)
    more = run(CampaignSettings(trials=8))
    assert run(campaign, more.values()).keys() == run(campaign).keys() | more.keys()


def test_shards_divide_the_trials():
    parts = [run(CampaignSettings(trials=7, shard=f"{i}/3")) for i in range(3)]
    whole = run(CampaignSettings(trials=7, threshold="grid"))
    assert sum(map(len, parts)) == len(whole)
    assert {**parts[0], **parts[1], **parts[2]} == whole


def test_sensitivity_comes_last():
    campaign = CampaignSettings(trials=2, max_drop=None, sensitivity={"trials": 4})
    results = run(campaign, strata={"conv1#0": 3, "conv1#1": 30}.items())
    assert [i for i in results if "#" in i and i.startswith("conv1#0")] == [
        i for i in results if "word" in i
    ]
    assert sum("#" in i for i in results) == 3 + 4


MEMORY = Population((Kind(1000, 1, 1),))
IMAGES = 300
RIGHT = np.arange(IMAGES) >= 6
SENSITIVE = np.random.Generator(np.random.Philox(11)).permutation(IMAGES)


def of_images(trial):
    """Each upset changes more of the images, the same ones first; drawn given an upset."""
    conditional = MEMORY.chance(trial.ber) < 1.0
    (k,) = MEMORY.counts(trial.ber, count_words(3, trial.number, 1))
    several = min(k * (1 + trial.number % 3) // 2, IMAGES)
    changed = np.zeros(IMAGES, dtype=bool)
    changed[SENSITIVE[:several]] = True
    return TrialResult(
        trial,
        (100.0 * (RIGHT ^ changed).mean(),),
        struck=((k, k),) if conditional else None,
        changed=(packed(changed),),
    )


def run_with_images(known=(), stop_after=10**9, **settings):
    golden = TrialResult(Trial(0), (100.0 * RIGHT.mean(),), images=IMAGES, right=(packed(RIGHT),))
    campaign = CampaignSettings(trials=8, **settings)
    results, ran = {r.trial.id: r for r in known}, []
    for batch in batches(campaign, BERS, {}, golden, results, MEMORY):
        for trial in batch.trials:
            if len(ran) == stop_after:
                return ran, results
            results.setdefault(trial.id, of_images(trial))
            ran.append(trial.id)
    return ran, results


def test_a_search_by_the_curve_and_by_images_does_not_depend_on_what_is_there_already():
    ran, results = run_with_images()
    assert len(ran) > 3 * 8
    _, half = run_with_images(stop_after=35)
    assert run_with_images(half.values())[0] == ran
    others = [of_images(Trial(n, ber)) for ber in (2e-4, 7e-3) for n in range(20)]
    assert run_with_images([*others, *results.values()])[0] == ran


def test_a_search_by_images_brackets_both_ends_to_the_tolerance():
    _, results = run_with_images(tolerance=0.2)
    golden = TrialResult(Trial(0), (100.0 * RIGHT.mean(),), images=IMAGES, right=(packed(RIGHT),))
    campaign = CampaignSettings(trials=8, tolerance=0.2)
    summary = summarize(golden, [*results.values()], campaign, {}, None, MEMORY)
    (found,) = summary.thresholds
    assert found.two_way and found.two_way_low <= found.ber <= found.two_way_high
    bers = sorted({row.ber for row in summary.bers})
    above = [row.drop_two_way_interval.low >= 1.0 for row in summary.bers]
    last = len(above) - above[::-1].index(False)
    assert np.log10(bers[last] / bers[last - 1]) <= 0.2 + 1e-9


def test_further_trials_go_where_drops_vary():
    from seu_plugin.analysis.strata import strata as strata_of

    study = {"by": "layer", "trials": 5, "more": 40}
    campaign = CampaignSettings(sensitivity=study, trials=2, threshold="grid")
    golden = TrialResult(Trial(0), (98.0,))
    strata = strata_of({"a": (1000, [0, 1]), "b": (1000, [0, 1])}, campaign.sensitivity)
    results, ran = {}, []
    for batch in batches(campaign, (1e-3,), strata, golden, results):
        ran.append((batch.title, len(batch.trials)))
        for trial in batch.trials:
            drop = 3.0 * (trial.number % 2) if trial.site == "a" else 0.001 * trial.number
            assert trial.id not in results
            results[trial.id] = TrialResult(trial, (98.0 - drop,))
    assert ran[-1] == ("sensitivity, where it varies", 40)
    numbers = [r.trial.site for r in results.values() if r.trial.ber is None]
    assert numbers.count("a") >= 5 + 38 and numbers.count("b") <= 5 + 2
