"""The time that leads to a threshold, from a rate with the interval of its count."""

import math

import numpy as np
import pytest
from scipy import stats

from seu_plugin.analysis.threshold import Threshold
from seu_plugin.analysis.times import each_confidence, rate_of, rate_summary
from seu_plugin.errors import ConfigError
from seu_plugin.faults.counted import Counted
from seu_plugin.faults.rates import upsets_per_bit
from seu_plugin.faults.upset_rate import UpsetRate
from seu_plugin.settings.campaign import CampaignSettings

DAY = 86400.0


def threshold(ber, low, high):
    return Threshold(1.0, 0.95, ber=ber, low=low, high=high)


def test_a_stated_rate_by_hand():
    rate = UpsetRate(1e-3 / DAY)
    found = rate_summary(rate, 0.95, [threshold(1e-2, 1e-3, None)], 1.0)
    (time,) = found.times
    assert time.time == pytest.approx(-math.log(1 - 0.02) / 2 / 1e-3 * DAY)
    assert time.low == pytest.approx(-math.log(1 - 0.002) / 2 / 1e-3 * DAY)
    assert time.high is None
    text = "\n".join(found.text())
    assert "as stated, without uncertainty" in text
    assert "has dropped by 1 after 10.1 d (95 % interval 1.001 d ... unbounded, of the BER" in text


def test_a_counted_rate_widens_both_ends():
    rate = UpsetRate(12e-9, counted=Counted("upsets", 12, 1e9))
    low, high = rate.interval(0.975)
    (time,) = rate_summary(rate, 0.95, [threshold(1e-2, 1e-3, 3e-2)], 1.0).times
    assert time.low == pytest.approx(upsets_per_bit(1e-3) / high)
    assert time.high == pytest.approx(upsets_per_bit(3e-2) / low)


def test_the_count_and_the_ber_after_the_exposure_are_told():
    rate = UpsetRate(12 / 1e9, counted=Counted("events", 12, 2e9), size=2.0, exposure=DAY)
    found = rate_summary(rate, 0.95, [], 1.0)
    assert found.count == "12 events of 2 bits on average"
    assert found.ber_interval.low < found.ber < found.ber_interval.high
    assert "counted from 12 events of 2 bits on average (95 % interval" in found.text()[0]
    assert found.text()[1].startswith("after 1 d: BER 0.00104 (95 % interval 0.000535 ... 0.0018")


def test_a_ber_that_no_time_leads_to_has_no_end():
    (time,) = rate_summary(UpsetRate(1.0), 0.95, [threshold(0.4, 0.3, 0.6)], 1.0).times
    assert time.time is not None and time.high is None


def test_the_interval_of_the_time_covers_both_sources():
    """Counts drawn from a Poisson law, BERs known to a normal error in decades: the interval holds
    the true time at least as often as it says."""
    generator = np.random.Generator(np.random.Philox(8))
    true_rate, true_ber, exposed, error, n = 1e-9, 1e-4, 5e9, 0.1, 4000
    truth = upsets_per_bit(true_ber) / true_rate
    sure = each_confidence(UpsetRate(1.0, counted=Counted("upsets", 5, 1.0)), 0.9)
    wide = stats.norm.ppf((1 + sure) / 2) * error
    holds = 0
    for _ in range(n):
        count = int(generator.poisson(true_rate * exposed))
        ber = true_ber * 10 ** (error * generator.normal())
        rate = UpsetRate(count / exposed, counted=Counted("upsets", count, exposed))
        (time,) = rate_summary(
            rate, 0.9, [threshold(ber, ber / 10**wide, ber * 10**wide)], 1.0
        ).times
        holds += (time.low or 0.0) <= truth <= (math.inf if time.high is None else time.high)
    assert holds / n >= 0.9


def test_of_a_mission_of_an_earlier_version_the_bers_tell_the_rate():
    plan = CampaignSettings(
        ber=[1e-4, 2e-4], mission={"duration": "2 d", "points": 2}, output="somewhere"
    )
    manifest = {"identity": {"section": {"mode": "ber"}}}
    found = rate_of(manifest, plan)
    assert found.per_bit_second == pytest.approx(upsets_per_bit(1e-4) / DAY)
    assert found.counted is None


def test_a_campaign_of_bers_has_no_rate():
    assert rate_of({"identity": {"section": {}}}, CampaignSettings()) is None


def test_a_rate_of_another_fault_model_is_an_error():
    rate = {"events": 3, "device_hours": 1.0, "bits": 8.0}
    with pytest.raises(ConfigError, match="count upsets"):
        rate_of({"identity": {"section": {"mode": "ber"}}, "rate": rate}, CampaignSettings())
