"""Physical rates: units against arithmetic by hand, and the law of odd numbers of upsets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from seu_plugin.faults.mechanisms import AsymmetricRates, ClusterSettings
from seu_plugin.faults.rates import Rate, ber_after, duration, in_all_units, seconds, upsets_per_bit
from seu_plugin.faults.upset_rate import relaxation


def ber_of(rate):
    return ber_after(rate.per_bit_second, seconds(rate.exposure))


def test_fit_per_mbit_by_hand():
    # 500 upsets in 1e9 h and 1e6 bits; 30 d are 720 h: 500 * 720 / (1e9 * 1e6) = 3.6e-10.
    assert ber_of(Rate(fit_per_mbit=500, exposure="30 d")) == pytest.approx(3.6e-10, rel=1e-8)


def test_a_binary_mbit_has_more_bits():
    binary = ber_of(Rate(fit_per_mbit=500, mbit="binary", exposure="30 d"))
    assert binary == pytest.approx(500 * 720 / (1e9 * 1048576), rel=1e-8)


def test_upsets_per_bit_day_by_hand():
    # 1e-7 a day for 5 years of 365.25 d: 1.82625e-4 upsets a bit, so BER just below that.
    ber = ber_of(Rate(upsets_per_bit_day=1e-7, exposure="5 y"))
    assert ber == pytest.approx(1.82592e-4, rel=1e-5)
    assert ber == pytest.approx((1 - math.exp(-2 * 1.82625e-4)) / 2, rel=1e-12)


def test_cross_section_by_hand():
    # 1e-14 cm2 in a beam of 1e5 /(cm2 s) for an hour: 1e-14 * 1e5 * 3600 = 3.6e-6.
    rate = Rate(cross_section_cm2_per_bit=1e-14, flux_per_cm2_s=1e5, exposure="1 h")
    assert ber_of(rate) == pytest.approx(3.6e-6, rel=1e-5)


@given(st.floats(1e-15, 0.4999))
def test_ber_and_upsets_per_bit_are_inverse(ber):
    assert ber_after(upsets_per_bit(ber), 1.0) == pytest.approx(ber, rel=1e-9)


def test_a_bit_is_wrong_after_an_odd_number_of_upsets():
    for mean in (1e-9, 0.01, 0.7, 3.0):
        odd = stats.poisson(mean).pmf(np.arange(1, 60, 2)).sum()
        assert ber_after(mean, 1.0) == pytest.approx(odd, rel=1e-9)


def test_every_unit_gives_the_same_rate():
    often = Rate(fit_per_mbit=700).per_bit_second
    units = in_all_units(often, flux=20.0)
    assert Rate(fit_per_mbit=units["FIT per Mbit (2^20 bits)"], mbit="binary").per_bit_second == (
        pytest.approx(often)
    )
    day = units["upsets per bit and day"]
    assert Rate(upsets_per_bit_day=day).per_bit_second == pytest.approx(often)
    sigma = units["cross section, cm2 per bit, at 20 particles/(cm2 s)"]
    both = Rate(cross_section_cm2_per_bit=sigma, flux_per_cm2_s=20.0)
    assert both.per_bit_second == pytest.approx(often)


@pytest.mark.parametrize(
    ("text", "expected"), [("30 d", 2592000), ("1.5h", 5400), ("2e3 s", 2000), ("10min", 600)]
)
def test_times_have_units(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["30", "d", "30 days", "-1 d", "0 s", "", "1e999 y", 30])
def test_times_without_a_unit_are_errors(text):
    with pytest.raises(ValueError, match=r"must be|too small"):
        seconds(text)


def test_durations_read_in_their_largest_unit():
    assert [duration(t) for t in (0.5, 90, 3600, 2592000)] == ["0.5 s", "1.5 min", "1 h", "30 d"]


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "needs exactly one of"),
        ({"fit_per_mbit": 1, "upsets_per_bit_day": 1}, "received fit_per_mbit and upsets"),
        ({"cross_section_cm2_per_bit": 1e-14}, "needs flux_per_cm2_s"),
        ({"upsets_per_bit_day": 1, "flux_per_cm2_s": 1}, "flux_per_cm2_s needs"),
        ({"upsets": 3}, "needs one of fluence_per_cm2, device_hours; received none of them"),
        ({"upsets": 3, "device_hours": 5}, "upsets needs bits"),
        ({"upsets": 3, "fluence_per_cm2": 5, "bits": 8}, "fluence_per_cm2 needs flux_per_cm2_s"),
        ({"upsets": 3, "events": 3, "device_hours": 5, "bits": 8}, "received upsets and events"),
        ({"fit_per_mbit": 3, "device_hours": 5}, "device_hours is of a test: it needs upsets"),
        ({"upsets": 3.5, "device_hours": 5, "bits": 8}, "integer"),
        ({"upsets": -1, "device_hours": 5, "bits": 8}, "greater than or equal to 0"),
        ({"upsets": True, "device_hours": 5, "bits": 8}, "integer"),
        ({"upsets_per_bit_day": 1, "mbit": "binary"}, "unit of fit_per_mbit"),
        ({"fit_per_mbit": 0}, "greater than 0"),
        ({"fit_per_mbit": 1, "exposure": "a month"}, "a time with its unit"),
    ],
)
def test_mistakes_are_named(given_, message):
    with pytest.raises(ValidationError, match=message):
        Rate(**given_)


# -- seu rate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "up", "down"),
    [("ber", 1.0, 1.0), ("asymmetric", 0.3, 1.7), ("asymmetric", 1.0, 0.0), ("stuck_at", 1.0, 0.0)],
)
def test_the_ber_of_a_rate_is_that_of_cells_simulated_event_by_event(mode, up, down):
    """A cell that holds a 0 turns at the rate ``up``, and back at ``down`` (stuck: never)."""
    rates = AsymmetricRates(zero_to_one=up, one_to_zero=down) if down != up else AsymmetricRates()
    generator, time, n = np.random.Generator(np.random.Philox(3)), 0.8, 200_000
    clock, wrong = np.zeros(n), np.zeros(n, dtype=bool)
    while True:
        rate = np.where(wrong, down, up)
        wait = generator.exponential(size=n) / np.where(rate > 0, rate, 1e-9)
        clock += wait
        if (clock > time).all():
            break
        wrong ^= clock <= time
    expected = up * ber_after(1.0, time, relaxation(mode, rates, None))
    error = math.sqrt(expected * (1 - expected) / n)
    assert abs(wrong.mean() - expected) < 4 * error


def test_clusters_of_one_size_leave_a_bit_wrong_as_often_as_single_upsets():
    clusters = ClusterSettings(sizes={2: 1.0})
    ber = ber_after(1.0, 0.5, relaxation("mbu", AsymmetricRates(), clusters))
    start = ber / clusters.mean  # of an event at each cell; a bit lies in two clusters
    assert 2 * start * (1 - start) == pytest.approx(ber_after(1.0, 0.5))


@pytest.mark.parametrize(
    "given_",
    [
        {"fit_per_mbit": 5.0},
        {"fit_per_mbit": 5.0, "mbit": "binary"},
        {"upsets_per_bit_day": 1e-7, "exposure": "3 d"},
        {"upsets": 3, "device_hours": 5.0, "bits": 8.0},
        {"cross_section_cm2_per_bit": 1e-14, "flux_per_cm2_s": 2.0},
    ],
)
def test_what_is_written_is_read_again(given_):
    rate = Rate(**given_)
    assert Rate(**rate.model_dump(mode="json")) == rate
