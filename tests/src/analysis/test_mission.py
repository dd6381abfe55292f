"""What missions say, by hand, and against a memory that is followed from event to event."""

import numpy as np
import pytest

import bare
import event_by_event
from seu_plugin.analysis.columns import Rows
from seu_plugin.analysis.mission import Missions, mission_summary
from seu_plugin.analysis.trials import Trial, TrialResult
from seu_plugin.faults.histories import Histories
from seu_plugin.faults.itinerary import Itinerary
from seu_plugin.faults.site_memory import SiteMemory
from seu_plugin.settings.campaign import CampaignSettings

DAY = 86400.0
ONE_RATE = {"": ((0.0, 1e-9),)}
PLAN = Itinerary(8 * DAY, 2 * DAY, 4, ONE_RATE)


def results(accuracies, rate=None):
    """``accuracies[n][moment]`` as rows."""
    return [
        TrialResult(Trial(n, moment=moment, rate=rate), (accuracy,))
        for n, several in enumerate(accuracies)
        for moment, accuracy in enumerate(several)
    ]


def summary(rows, itinerary=PLAN, golden=98.0, **campaign):
    mission = {"duration": "8 d", **campaign.pop("mission", {})}
    settings = CampaignSettings(mission=mission, **campaign)
    return mission_summary(Rows.of(rows), Missions(itinerary, 7), golden, settings)


def test_means_and_availability_by_hand():
    found = summary(results([(98, 98, 97, 90), (98, 97.5, 96, 96)]))
    assert found.average == pytest.approx((95.75 + 96.875) / 2)
    assert found.availability.mean == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert (found.missions, found.scrubs, found.points) == (2, 3, 4)


def test_a_drop_of_just_max_drop_is_available():
    found = summary(results([(72.1, 72.1, 72.1, 70.0)] * 2), golden=72.3, max_drop=0.2)
    assert found.availability.mean == pytest.approx(3 / 4)


def test_missions_that_are_not_whole_yet_do_not_count():
    rows = results([(98, 98, 97, 90), (98, 97.5, 96, 96), (1, 1, 1, 1)])
    assert summary(rows[:-1]) == summary(rows[:-4])
    assert summary(rows[:7]) is None


def test_intervals_are_never_of_width_0():
    found = summary(results([(98, 98, 98, 98)] * 5))
    for one in (found.average_normal, found.average_any_law):
        assert one.low < one.high
    for one in (found.availability.normal, found.availability.any_law):
        assert one.low < one.high == 1.0


def test_a_requirement_has_its_probability_and_its_tolerance_bound():
    rows = results([(98, 98, 98, 98)] * 9 + [(98, 98, 98, 90)])
    kept = summary(rows, mission={"requirement": {"availability": 0.9}}).kept
    assert (kept.share, kept.lowest) == (0.9, 0.75)
    assert kept.interval == (pytest.approx(0.555, abs=1e-3), pytest.approx(0.9975, abs=1e-3))
    assert kept.covered == pytest.approx(0.05 ** (1 / 10))
    text = "\n".join(summary(rows, mission={"requirement": {"availability": 0.9}}).text())
    assert "at least 90 % of the time with probability 90.0 % (55.5 ... 99.7 %" in text
    assert "at least 74.1 % of missions are available for 75.00 % of the time or more" in text


def test_a_requirement_may_have_its_own_drop():
    mission = {"requirement": {"availability": 0.9, "max_drop": 8.0}}
    found = summary(results([(98, 98, 98, 90)] * 2), mission=mission)
    assert (found.max_drop, found.availability.mean) == (8.0, 1.0)


def test_both_ends_of_a_counted_rate_widen_the_availability():
    itinerary = Itinerary(8 * DAY, 2 * DAY, 4, dict.fromkeys(("", "low", "high"), ONE_RATE[""]))
    rows = results([(98, 98, 98, 90)] * 20)
    rows += results([(98, 98, 98, 98)] * 20, "low") + results([(98, 98, 90, 90)] * 20, "high")
    one = summary(rows, itinerary).availability
    assert one.mean == 0.75
    assert one.low < 0.5 and one.high == 1.0
    assert summary(rows[:80], itinerary).availability.low is None


def test_the_curve_is_against_the_time_since_a_scrub():
    """Accuracy that falls by a point a day from each scrub on."""
    times = np.array([PLAN.times(7, n) for n in range(30)])
    accuracy = 98.0 - (times % (2 * DAY)) / DAY
    found = summary(results(accuracy.tolist()))
    for one in found.curve:
        assert one.accuracy == pytest.approx(98.0 - one.time / DAY, abs=0.15)
    assert [one.time for one in found.curve] == [DAY / 4, DAY * 3 / 4, DAY * 5 / 4, DAY * 7 / 4]


def test_the_mean_over_times_is_unbiased_however_few_they_are():
    """A network that is lost all at once, 3.3 days after a scrub of 5: 4 times see it as 48 do."""
    for points in (2, 4, 48):
        itinerary = Itinerary(20 * DAY, 5 * DAY, points, ONE_RATE)
        times = np.array([itinerary.times(7, n) for n in range(200)])
        accuracy = np.where(times % (5 * DAY) < 3.3 * DAY, 98.0, 10.0)
        rows = Rows.of(results(accuracy.tolist()))
        found = mission_summary(rows, Missions(itinerary, 7), 98.0, CampaignSettings())
        assert found.availability.mean == pytest.approx(3.3 / 5, abs=0.015)


# -- against events --------------------------------------------------------------------------

RATE, DURATION, PERIOD, MAX_DROP = 4e-4, 200.0, 25.0, 1.0


def campaign(seed, points, missions, sweeping):
    """A campaign over the memory of :mod:`event_by_event`, with the package's histories."""
    itinerary = Itinerary(DURATION, PERIOD, points, {"": ((0.0, RATE),)}, sweeping)
    memory = SiteMemory("fc", event_by_event.CELLS // 4, 4, bare.settings())
    histories = Histories([memory], itinerary, seed)
    rows = []
    for number in range(missions):
        for moment in range(points):
            found = histories.at(number, moment)["fc"].map
            masks = np.zeros(event_by_event.CELLS // 4, dtype=np.int64)
            masks[found.index] = found.mask
            wrong = (masks[:, None] >> np.arange(4) & 1).astype(bool).ravel()
            lost = min(event_by_event.drop(wrong), 98.0)
            rows.append(TrialResult(Trial(number, moment=moment), (98.0 - lost,)))
    asked = Missions(itinerary, seed), 98.0, CampaignSettings(max_drop=MAX_DROP)
    return mission_summary(Rows.of(rows), *asked)


@pytest.fixture(scope="module", params=[False, True], ids=["all at once", "sweeping"])
def simulated(request):
    """Whether sweeping; availability and mean accuracy, of 2,000 missions."""
    generator = np.random.Generator(np.random.Philox(11))
    given = (RATE, DURATION, PERIOD, request.param, MAX_DROP)
    found = np.array([event_by_event.mission(generator, *given) for _ in range(2000)])
    error = found.std(axis=0) / 2000**0.5
    return request.param, found[:, 0].mean(), 98.0 - found[:, 1].mean(), error


@pytest.mark.parametrize("points", [6, 8, 48])
def test_availability_and_mean_are_those_of_events(simulated, points):
    sweeping, availability, average, error = simulated
    found = campaign(3, points, 400, sweeping)
    wide = (found.availability.normal.high - found.availability.normal.low) / 2
    assert abs(found.availability.mean - availability) < 2 * wide + 3 * error[0]
    wide = (found.average_normal.high - found.average_normal.low) / 2
    assert abs(found.average - average) < 2 * wide + 3 * error[1]


@pytest.mark.slow
@pytest.mark.parametrize("points", [6, 8, 48])
def test_intervals_hold_what_events_give(simulated, points):
    """Of campaigns of 20 missions, at least 94 % of the any-law intervals hold the truth; of
    near-normal ones a few less, as missions are few and skewed."""
    sweeping, availability, average, _ = simulated
    n, held = 60 if points == 48 else 150, np.zeros(4)
    for seed in range(n):
        found = campaign(seed, points, 20, sweeping)
        for i, (interval, truth) in enumerate(
            (
                (found.availability.any_law, availability),
                (found.availability.normal, availability),
                (found.average_any_law, average),
                (found.average_normal, average),
            )
        ):
            held[i] += interval.low <= truth <= interval.high
    assert held[0] / n >= 0.94 and held[2] / n >= 0.94, held / n
    assert held[1] / n >= 0.87 and held[3] / n >= 0.87, held / n


def test_no_interval_reaches_below_what_is_exact():
    rows = results([(98, 98, 98, 98)] * 5)
    settings = CampaignSettings(mission={"duration": "8 d"})
    asked = Missions(PLAN, 7, {"": 0.99995})
    found = mission_summary(Rows.of(rows), asked, 98.0, settings)
    assert found.availability.any_law == (0.99995, 1.0)
    assert found.average_any_law.low == pytest.approx(98.0 * 0.99995)
    text = "\n".join(found.text())
    assert "availability (drop at most 1): 100.00 % of the time (any law 99.9950 ... 100.00" in text
    assert "nothing is read wrong for 99.9950 % of the time (exact)" in text
