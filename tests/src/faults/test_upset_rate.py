"""Counted rates under each fault model: upsets, events, and the BERs at the ends."""

import math

import pytest

from seu_plugin.faults.rates import Rate
from seu_plugin.faults.upset_rate import UpsetRate

CLUSTERS = {"mode": "mbu", "mbu": {"sizes": {1: 0.5, 3: 0.5}}}
HOURS = {"device_hours": 1000.0, "bits": 1e6}


def test_upsets_in_a_beam_by_hand():
    # 12 over 1e10 /cm2 and 4.2e7 bits: 2.857e-17 cm2; times 1.4 /(cm2 s): 4e-17 a bit and second.
    rate = Rate(upsets=12, fluence_per_cm2=1e10, bits=4.2e7, flux_per_cm2_s=1.4)
    assert UpsetRate.of(rate, {}).per_bit_second == pytest.approx(4e-17)


def test_no_upset_at_a_fluence_bounds_the_cross_section():
    # Chi-square with 2 degrees of freedom at 97.5 %, halved, over 1e7 ions/cm2: 3.69e-7 cm2.
    rate = Rate(upsets=0, fluence_per_cm2=1e7, bits=1, flux_per_cm2_s=1.0)
    found = UpsetRate.of(rate, {})
    assert found.per_bit_second == 0.0
    assert found.interval(0.95) == (0.0, pytest.approx(3.69e-7, rel=1e-3))


def test_device_hours_by_hand():
    rate = Rate(upsets=36, **HOURS)
    assert UpsetRate.of(rate, {}).per_bit_second == pytest.approx(36 / (3.6e6 * 1e6))


def test_events_upset_as_many_bits_as_their_mean_size():
    one = UpsetRate.of(Rate(events=36, **HOURS), CLUSTERS)
    assert one.per_bit_second == pytest.approx(2 * 36 / 3.6e12)
    low, high = one.interval(0.95)
    alone = UpsetRate.of(Rate(upsets=36, **HOURS), {}).interval(0.95)
    assert (low, high) == (pytest.approx(2 * alone[0]), pytest.approx(2 * alone[1]))


def test_bers_are_those_of_the_rate_and_of_its_ends():
    found = UpsetRate.of(Rate(upsets=2, **HOURS), {})
    time = 1e9
    low, high = found.interval(0.9)
    expected = [(1 - math.exp(-2 * r * time)) / 2 for r in (low, found.per_bit_second, high)]
    assert found.bers(time, 0.9) == pytest.approx(expected)


def test_a_stated_rate_has_one_ber_and_no_interval():
    found = UpsetRate.of(Rate(upsets_per_bit_day=1e-3), {})
    assert found.interval(0.95) is None
    assert len(found.bers(86400.0, 0.95)) == 1


@pytest.mark.parametrize(
    ("rate", "section", "message"),
    [
        ({"upsets": 3}, CLUSTERS, "count the particles"),
        ({"events": 3}, {}, "of mode ber, count upsets"),
        ({"events": 3}, {"mode": "mbu"}, "count upsets"),
    ],
)
def test_counts_are_of_their_fault_model(rate, section, message):
    with pytest.raises(ValueError, match=message):
        UpsetRate.of(Rate(**rate, **HOURS), section)
