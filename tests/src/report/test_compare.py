"""Two campaigns side by side, drawn."""

import pytest

import made_up
from seu_plugin.analysis.intervals import Interval
from seu_plugin.analysis.summary import Difference
from seu_plugin.errors import ConfigError
from seu_plugin.report.compare import draw

ROWS = [
    Difference(0.0, 1, 98.0, 98.0, 0.0, *[Interval(0.0, 0.0)] * 2),
    *(
        Difference(ber, 6, 97.0, 97.5, 0.5, Interval(0.2, 0.8), Interval(-3.0, 4.0))
        for ber in made_up.BERS
    ),
]


def test_the_difference_is_drawn_where_it_is_asked_for(tmp_path):
    picture = tmp_path / "c.png"
    draw(picture, ROWS, tmp_path / "a", tmp_path / "b")
    assert picture.read_bytes().startswith(b"\x89PNG")
    for unfit, told in ((tmp_path / "c.pdf", "must end in .png"), (tmp_path / "n" / "c.png", "No")):
        with pytest.raises(ConfigError, match=told):
            draw(unfit, ROWS, tmp_path / "a", tmp_path / "b")
