"""seu rate: from each two of rate, exposure and BER to the third."""

import math

import pytest
from click.testing import CliRunner

from seu_plugin.commands import cli
from seu_plugin.commands.rate import converted
from seu_plugin.errors import ConfigError

BEAM = {"fluence_per_cm2": 1e10, "bits": 42_000_000}


def test_a_count_has_its_interval_in_every_unit():
    lines = converted({**BEAM, "upsets": 12, "flux_per_cm2_s": 1.4}, "30 d", None, 1_000_000)
    assert lines[0].startswith("upsets counted: 12 (6.20058 ... 20.9616), 95 % interval")
    assert any(line.startswith("4e-17 (2.06686e-17 ... 6.9872e-17)") for line in lines)
    assert "BER = 1.0368e-10 (5.3573e-11 ... 1.81108e-10)" in lines
    assert lines[-1].endswith("of 1,000,000: 0.00010368 (5.3573e-05 ... 0.000181108)")


def test_a_count_without_a_flux_is_a_cross_section():
    lines = converted({**BEAM, "upsets": 12}, None, None, None)
    assert lines[-1] == "2.85714e-17 (1.47633e-17 ... 4.99085e-17)  cross section, cm2 per bit"


def test_no_upset_bounds_the_rate_and_the_time_to_a_ber():
    given = {"upsets": 0, "device_hours": 1e5, "bits": 42_000_000}
    lines = converted(given, None, 1e-6, None)
    assert lines[0].startswith("upsets counted: 0 (0 ... 3.68888)")
    assert any("t = inf (4.09881e+09 ... unbounded) s" in line for line in lines)


def test_the_confidence_is_asked_for():
    arguments = "rate --upsets 0 --fluence 1e7 --tested-bits 1 --confidence 0.9"
    done = CliRunner().invoke(cli, arguments.split())
    assert "0 (0 ... 2.99573e-07)  cross section" in done.output  # -ln(0.05) / 1e7


def test_a_rate_and_an_exposure_give_the_ber():
    lines = converted({"fit_per_mbit": 500.0}, "30 d", None, 1_000_000)
    assert "BER = 3.6e-10" in lines
    assert "expected wrong bits of 1,000,000: 0.00036" in lines


def test_a_ber_and_an_exposure_give_the_rate():
    lines = converted({}, "30 d", 3.6e-10, None)
    assert any(line.split() == ["500", "FIT", "per", "Mbit", "(10^6", "bits)"] for line in lines)


def test_a_rate_and_a_ber_give_the_exposure():
    lines = converted({"upsets_per_bit_day": 1e-7}, None, 1e-7, None)
    assert any("t = 1 d = 86400 s" in line for line in lines)


def test_a_flux_alone_asks_for_the_cross_section():
    lines = converted({"flux_per_cm2_s": 1e5}, "1 h", 3.6e-6, None)
    assert any(line.startswith("1e-14") and "cross section" in line for line in lines)


def test_any_rate_has_a_cross_section_at_a_flux():
    lines = converted({"fit_per_mbit": 3.6e9, "flux_per_cm2_s": 1e5}, None, None, None)
    assert any(line.startswith("1e-14") and "cross section" in line for line in lines)


@pytest.mark.parametrize(
    ("rate", "exposure", "ber", "message"),
    [
        ({}, None, None, "needs a rate"),
        ({"upsets_per_bit_day": 1.0}, "1 d", 0.1, "give two of"),
        ({}, "1 d", 0.7, "is reached at no time"),
        ({"upsets_per_bit_day": 1.0}, "1", None, "--exposure must be .* with its unit.*'1'"),
        ({"upsets_per_bit_day": -1.0}, "1 d", None, "--upsets-per-bit-day must be .*0; .* -1"),
        ({"fit_per_mbit": 1.0, "upsets_per_bit_day": 1.0}, None, None, "received --fit-per-mbit a"),
        ({"flux_per_cm2_s": 0.0}, "1 d", 1e-3, "--flux must be above 0"),
        ({"flux_per_cm2_s": -1.0}, "1 d", 1e-3, "--flux must be above 0"),
        ({"flux_per_cm2_s": math.nan}, "1 d", 1e-3, "--flux must be above 0"),
        ({"fit_per_mbit": 1e-320}, None, 1e-3, "not to be computed with"),
        ({"upsets": 3}, None, None, "--upsets needs one of --fluence, --device-hours; received"),
        ({"upsets": 3, "device_hours": 2.0}, None, None, "--upsets needs --tested-bits, those"),
        ({"fluence_per_cm2": 3.0}, None, None, "--fluence is of a test: it needs --upsets$"),
        ({**BEAM, "upsets": 3}, "1 d", None, "--fluence is of the test: needs --flux"),
        ({**BEAM, "upsets": 3}, None, 1e-6, "--fluence is of the test: needs --flux"),
    ],
)
def test_what_does_not_go_together_is_an_error(rate, exposure, ber, message):
    with pytest.raises(ConfigError, match=message):
        converted(rate, exposure, ber, None)


def test_wrong_bits_need_an_exposure():
    with pytest.raises(ConfigError, match="--bits counts wrong bits after --exposure"):
        converted({"fit_per_mbit": 1.0}, None, None, 1000)


def test_the_unit_of_a_mbit_alone_is_no_rate():
    given = converted({"mbit": "binary"}, "1 h", 1e-6, None)
    assert given == converted({}, "1 h", 1e-6, None)


@pytest.mark.parametrize("bits", ["42800000", "42.8e6"])
def test_bits_may_be_written_with_an_exponent(bits):
    arguments = ["rate", "--fit-per-mbit", "500", "--exposure", "30d", "--bits", bits]
    assert "wrong bits of 42,800,000" in CliRunner().invoke(cli, arguments).output


@pytest.mark.parametrize("bits", ["1.5", "nan", "-3", "many"])
def test_bits_that_are_no_count_are_refused(bits):
    arguments = ["rate", "--fit-per-mbit", "500", "--exposure", "30d", "--bits", bits]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2 and "--bits" in done.output
