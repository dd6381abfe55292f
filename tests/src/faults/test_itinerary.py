"""When missions are looked at, and what their memory has met by then."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.faults.itinerary import Itinerary

STORM = Itinerary(100.0, 10.0, 5, {"": ((0.0, 1e-3), (90.0, 1e-1))})


def test_a_mission_is_looked_at_once_in_each_part():
    for number in range(50):
        times = STORM.times(7, number)
        assert (np.floor(times / 20.0) == np.arange(5)).all()
        assert np.allclose(np.diff(times), 20.0)


def test_over_missions_times_are_spread_evenly():
    """Their discrepancy is that of multiples of the golden ratio, not that of random numbers."""
    places = np.sort([STORM.times(7, number)[0] / 20.0 for number in range(200)])
    assert np.abs(places - (np.arange(200) + 0.5) / 200).max() < 0.02


def test_the_first_place_is_of_the_seed():
    assert STORM.times(1, 0)[0] != STORM.times(2, 0)[0]


def test_exposure_by_hand():
    assert STORM.exposure("", 50.0) == pytest.approx(0.05)
    assert STORM.exposure("", 95.0) == pytest.approx(0.09 + 0.5)
    assert STORM.exposure("", 105.0) == pytest.approx(0.09 + 1.5)  # a last period may end later
    assert STORM.most_exposure == pytest.approx(1.0)


@given(st.floats(0.0, 120.0))
def test_times_and_exposures_are_inverse(time):
    met = np.array([STORM.exposure("", time)])
    assert STORM.time_of("", met)[0] == pytest.approx(time, abs=1e-9)


def test_it_is_read_as_it_was_written():
    full = Itinerary(9.0, 3.0, 4, {"": ((0.0, 1.0),), "low": ((0.0, 0.5),)}, True, 0.25)
    for one in (STORM, full):
        assert Itinerary.read(one.document()) == one


@pytest.mark.parametrize(
    "change",
    [
        {"points": 0},
        {"points": 10**9},
        {"duration": float("nan")},
        {"period": 0.0},
        {"rates": {}},
        {"rates": {"": []}},
        {"rates": {"": [[0.0, -1.0]]}},
        {"rates": {"": 3}},
        {"read_every": -1.0},
        {"duration": "long"},
    ],
)
def test_what_is_no_mission_is_refused(change):
    with pytest.raises((ValueError, TypeError)):
        Itinerary.read({**STORM.document(), **change})
