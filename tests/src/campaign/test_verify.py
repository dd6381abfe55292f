"""What a campaign that verifies a plan is told, and what it says."""

from dataclasses import replace

import pytest

import made_up
from seu_plugin.analysis.intervals import Interval
from seu_plugin.analysis.planner import Part, plan
from seu_plugin.campaign.verify import Verdict, overlay, verdict, without_rate_of_mission
from seu_plugin.errors import InjectionError


def test_the_overlay_asks_for_one_ber_and_the_plan(tmp_path):
    parts = [Part(site, 25, 4, (0.5,) * 4) for site in made_up.SITES]
    found = plan(parts, 1e-3, 0.01, ("tmr",))
    section = overlay(found, 1e-2, 2.0, "reload", 7, tmp_path)["fault_injection"]
    assert section["protection"] == found.rules("reload")
    campaign = section["campaign"]
    assert (campaign["ber"], campaign["trials"], campaign["max_drop"]) == ([1e-2], 7, 2.0)
    assert campaign["sensitivity"] is campaign["mission"] is campaign["shard"] is None


@pytest.mark.parametrize(
    ("interval", "told", "holds"),
    [((0.1, 0.9), "holds", True), ((1.2, 2.0), "NOT met", False), ((0.5, 1.5), "to tell", False)],
)
def test_a_target_holds_if_the_whole_interval_is_below(interval, told, holds):
    row = replace(made_up.summary().bers[0], drop_normal_interval=Interval(*interval))
    found = Verdict(row, 1.0)
    assert found.holds == holds and told in found.text()


def test_the_verdict_is_that_of_the_planned_ber():
    summary = made_up.summary()
    for row in summary.bers:
        assert verdict(summary, row.ber, 1.0).row == row
        assert f"at BER {row.ber:g}:" in verdict(summary, row.ber, 1.0).text()
    with pytest.raises(InjectionError, match=r"no trial at BER 0\.5"):
        verdict(summary, 0.5, 1.0)


@pytest.mark.parametrize(
    ("rate", "kept"),
    [
        (None, True),
        ({"upsets_per_bit_day": 1e-3, "exposure": "3 d"}, True),
        ({"upsets_per_bit_day": 1e-3}, False),
    ],
)
def test_a_rate_that_was_for_a_mission_makes_no_ber_without_it(rate, kept):
    settings = {"fault_injection": {"campaign": {"ber": [1e-2]}}}
    found = without_rate_of_mission(settings, rate)["fault_injection"]
    assert ("rate" in found) is not kept
    assert found.get("rate") is None and found["campaign"] == {"ber": [1e-2]}


def test_what_was_predicted_is_told_beside_what_was_found():
    row = replace(made_up.summary().bers[0], drop=0.5, drop_normal_interval=Interval(0.4, 0.6))
    assert "predicted was at most 1, 2 times that" in Verdict(row, 1.0, 1.0).text()
