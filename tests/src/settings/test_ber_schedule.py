"""BER by epoch."""

import pytest
from pydantic import ValidationError

from seu_plugin.settings.ber_schedule import BerSchedule


def bers(*epochs, **given):
    schedule = BerSchedule(**given)
    return [pytest.approx(schedule.ber(epoch)) for epoch in epochs]


def test_constant():
    assert bers(0, 50, shape="constant", start="1e-3") == [1e-3, 1e-3]


def test_linear():
    given = {"shape": "linear", "start": 0, "end": 0.01, "first_epoch": 10, "last_epoch": 20}
    assert bers(0, 10, 15, 20, 99, **given) == [0, 0, 0.005, 0.01, 0.01]


def test_log():
    given = {"shape": "log", "start": 1e-4, "end": 1e-2, "last_epoch": 10}
    assert bers(0, 5, 10, 11, **given) == [1e-4, 1e-3, 1e-2, 1e-2]


def test_steps():
    given = {"shape": "steps", "steps": {20: "1e-2", 10: 1e-3}}
    assert bers(0, 9, 10, 19, 20, 99, **given) == [0, 0, 1e-3, 1e-3, 1e-2, 1e-2]
    assert BerSchedule(**given).highest == 1e-2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shape": "linear", "start": 0}, "shape linear needs end, last_epoch"),
        ({"shape": "constant", "start": 0.1, "end": 0.2}, "shape constant has no use for end"),
        ({"shape": "steps"}, "shape steps needs steps"),
        ({"shape": "steps", "steps": {-1: 0.1}}, "epochs from 0 on; one is -1"),
        ({"shape": "steps", "steps": {1: 2}}, r"BERs in \[0, 1\]; that of epoch 1 is 2"),
        ({"shape": "log", "start": 0, "end": 0.1, "last_epoch": 2}, "start and end above 0"),
        (
            {"shape": "linear", "start": 0, "end": 0.1, "first_epoch": 5, "last_epoch": 5},
            r"last_epoch \(5\) must be after first_epoch \(5\)",
        ),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(ValidationError, match=message):
        BerSchedule(**given)
