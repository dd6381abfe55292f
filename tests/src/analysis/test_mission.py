"""Upsets that add up between scrubs, against the Poisson law; and what a mission says of them."""

import math

import numpy as np
import pytest
from scipy import stats

from seu_plugin.analysis.mission import mission_summary
from seu_plugin.faults.fault_map import draw_fault_map
from seu_plugin.faults.rates import ber_after
from seu_plugin.faults.seeding import Stream
from seu_plugin.settings.campaign import Mission

DAY = 86400.0
MISSION = Mission(duration="10 d", scrub_interval="2 d", points=4)


def test_times_are_those_of_one_period():
    assert MISSION.times == (0.5 * DAY, DAY, 1.5 * DAY, 2 * DAY)


def accumulated(generator, bits, rate, times):
    """Wrong bits at ``times`` of a memory that particles hit one by one, as a Poisson process."""
    wrong, found, now, hit = set(), [], 0.0, 0
    for time in times:
        for place in generator.integers(0, bits, generator.poisson(rate * bits * (time - now))):
            wrong ^= {int(place)}
            hit += 1
        found.append(len(wrong))
        now = time
    return found


@pytest.mark.parametrize("rate", [2e-9, 4e-6])  # few upsets; so many that bits are hit twice
def test_maps_between_two_scrubs_are_those_that_particles_leave(rate):
    """Scrubbed accumulation against an event by event simulation: the counts have one law."""
    bits, periods = 5000, 400
    generator = np.random.Generator(np.random.Philox(3))
    simulated = np.array(
        [accumulated(generator, bits, rate, MISSION.times) for _ in range(periods)]
    )
    drawn = np.array(
        [
            [
                draw_fault_map(Stream(9, "a", n), 1250, 4, ber_after(rate, time)).upsets
                for time in MISSION.times
            ]
            for n in range(periods)
        ]
    )
    for i, time in enumerate(MISSION.times):
        p = ber_after(rate, time)
        error = math.sqrt(bits * p * (1 - p) / periods)
        assert abs(simulated[:, i].mean() - bits * p) < 4 * error
        assert abs(drawn[:, i].mean() - bits * p) < 4 * error
    assert (np.diff(drawn) >= 0).all()  # nothing is repaired between two scrubs


def test_rare_upsets_follow_the_poisson_law():
    rate, bits, n = 1e-9, 40_000, 3000
    time = MISSION.times[-1]
    counts = [
        draw_fault_map(Stream(4, "b", i), 10_000, 4, ber_after(rate, time)).upsets for i in range(n)
    ]
    law = stats.poisson(rate * bits * time)
    cells = [law.pmf(k) for k in range(12)] + [law.sf(11)]
    seen = [counts.count(k) for k in range(12)] + [sum(c > 11 for c in counts)]
    merged_seen = [*seen[2:10], sum(seen[:2]) + sum(seen[10:])]
    merged = [*cells[2:10], sum(cells[:2]) + sum(cells[10:])]
    assert stats.chisquare(merged_seen, [n * c for c in merged]).pvalue > 1e-3


BERS = tuple(ber_after(1e-9, time) for time in MISSION.times)


def summary(drops, max_drop=1.0, mission=MISSION):
    table = {ber: dict(enumerate(column)) for ber, column in zip(BERS, zip(*drops))}
    return mission_summary(mission, BERS, 98.0, table, 0.95, max_drop)


def test_averages_and_availability_by_hand():
    found = summary([(0, 0, 2, 4), (0, 1, 1, 2)])
    # Trapezoids from the golden run on: (0+0)/2 + (0+0)/2 + (0+2)/2 + (2+4)/2 = 4, over 4 steps.
    first, second = 1.0, (0 + 0.5 + 1 + 1.5) / 4
    assert found.average == pytest.approx(98 - (first + second) / 2)
    assert found.availability == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert found.scrubs == 4 and found.accuracy[-1] == pytest.approx(95.0)


def test_a_last_period_that_is_cut_short_counts_as_far_as_it_goes():
    """A drop of 1 point a day, scrubbed every 6 d: 9 d are one period and the first half of one."""
    mission = Mission(duration="9 d", scrub_interval="6 d", points=6)
    bers = [ber_after(1e-9, time) for time in mission.times]
    table = {ber: {0: day, 1: day} for day, ber in enumerate(bers, 1)}
    found = mission_summary(mission, bers, 100.0, table, 0.95, 4.0)
    assert found.scrubs == 1
    assert found.average == pytest.approx(97.5)  # 18 point days and 4.5, over 9 days
    assert found.availability == pytest.approx(7 / 9)  # 4 of 6 days, and all 3


@pytest.mark.parametrize("cut", [0.25, 0.5, 0.8])
def test_a_period_may_end_within_a_step(cut):
    mission = Mission(duration=f"{cut} d", points=2)
    long = Mission(duration=f"{1 + cut} d", scrub_interval="1 d", points=2)
    bers = [ber_after(1e-9, time) for time in long.times]
    table = {ber: {0: drop, 1: drop} for drop, ber in zip((2.0, 6.0), bers)}
    found = mission_summary(long, bers, 100.0, table, 0.95, 3.0)
    path = np.interp(np.linspace(0, cut, 10_001), [0, 0.5, 1], [0, 2, 6])
    area = 0.5 + 2.0 + np.trapz(path, dx=cut / 10_000) if hasattr(np, "trapz") else None
    if area is None:
        area = 2.5 + np.trapezoid(path, dx=cut / 10_000)
    assert found.average == pytest.approx(100 - area / (1 + cut), rel=1e-6)
    assert found.availability == pytest.approx((0.5 + min(cut, 0.5)) / (1 + cut))
    assert mission.times[-1] == pytest.approx(cut * DAY)


def test_one_trial_says_nothing_of_a_mission():
    assert summary([(0, 0, 2, 4)]) is None


def test_scrubbing_seldom_is_an_error():
    with pytest.raises(ValueError, match=r"scrub_interval \(20 d\) is longer than the mission"):
        Mission(duration="10 d", scrub_interval="20 d")
