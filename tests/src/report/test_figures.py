"""Pictures are made of whatever a campaign gives."""

import sys

import pytest

import made_up
from seu_plugin.report.figures import ber_curve, outcome_bars, sensitivity_map

PNG = b"\x89PNG\r\n\x1a\n"


def size(png):
    """Width and height in pixels."""
    assert png.startswith(PNG)
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


@pytest.mark.parametrize(
    "rows",
    [
        made_up.results(),
        made_up.results(bers=(1e-3,)),
        made_up.results(trials=1),
        made_up.results(spread=0.0),
        made_up.results(bers=(1e-9, 1e-8)),  # no drop, no threshold
    ],
)
def test_a_curve_for_every_campaign(rows):
    width, height = size(ber_curve(made_up.summary(rows), rows))
    assert 800 < width < 1400 and 500 < height < 900


def test_a_curve_shows_its_data():
    rows = made_up.results()
    worse = made_up.results(spread=0.1)
    one, two = (ber_curve(made_up.summary(r), r) for r in (rows, worse))
    assert one != two
    assert one == ber_curve(made_up.summary(rows), rows)


def test_outcomes_have_bars_if_they_are_known():
    assert size(outcome_bars(made_up.summary()))
    assert outcome_bars(made_up.summary(made_up.results(outcomes=False))) is None


@pytest.mark.parametrize("by", [("layer", "bit"), ("layer",), ("bit",)])
def test_sensitivity_has_a_map_or_bars(by):
    rows, strata = made_up.sensitivity(by)
    found = made_up.summary([*made_up.results(), *rows], strata)
    assert len(found.sensitivity) == len(strata)
    assert size(sensitivity_map(found))


def test_no_sensitivity_has_no_picture():
    assert sensitivity_map(made_up.summary()) is None


def test_the_hosts_own_figures_are_left_alone():
    import matplotlib

    before = matplotlib.get_backend() if "matplotlib.pyplot" in sys.modules else None
    ber_curve(made_up.summary(), made_up.results())
    if before is None:
        assert "matplotlib.pyplot" not in sys.modules
    else:
        assert matplotlib.get_backend() == before
