"""Rows that survive JSON, and what is refused in their place."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.analysis.rows import TRIALS, parse_row, read_rows
from seu_plugin.analysis.trials import Outcomes, Trial, TrialResult
from seu_plugin.errors import ConfigError

#: Numbers of JSON that pydantic keeps as integers.
COUNTS = st.integers(0, 1 << 62)
trials = st.one_of(
    st.builds(Trial, st.integers(0, 99), st.floats(1e-12, 1.0)),
    st.builds(
        Trial,
        st.integers(0, 99),
        st.none(),
        st.sampled_from(["conv1", "layer1.0.conv2"]),
        st.one_of(st.none(), st.integers(0, 15)),
        st.integers(1, 5),
        st.booleans(),
    ),
)
results = st.builds(
    TrialResult,
    trials,
    st.lists(st.floats(0, 100), min_size=1, max_size=3).map(tuple),
    COUNTS,
    COUNTS,
    COUNTS,
    st.dictionaries(st.sampled_from(["conv1", "fc"]), st.integers(1, 9)),
    st.one_of(st.none(), st.builds(Outcomes, *[st.integers(0, 9)] * 4)),
    st.booleans(),
    st.floats(0, 9),
)
ROW = TrialResult(Trial(1, 0.1), (9.0,)).row()


def line(row):
    return json.dumps(row).encode()


@given(results)
def test_a_row_survives_json(result):
    assert parse_row(line(result.row())) == result


def test_a_row_that_lies_about_its_id_is_an_error():
    with pytest.raises(ConfigError, match=r"id '0\.1:2' describes trial '0\.1:1'"):
        parse_row(line({**ROW, "id": "0.1:2"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": []}, "metrics: "),
        ({"metrics": [101.0]}, r"metrics\.0: .* received 101"),
        ({"metrics": [math.nan]}, r"metrics\.0: "),
        ({"upsets": "x"}, "upsets: .* received 'x'"),
        ({"upsets": -1}, "upsets: .* received -1"),
        ({"upsets_by_site": {"fc": 1.5}}, r"upsets_by_site\.fc: "),
        ({"outcomes": {"masked": 1}}, r"outcomes\.tolerable: is missing"),
        ({"ran": 1}, "ran: "),
        ({"upsets": 10**400}, "upsets: "),
        ({"a\nb": 1}, r"a\\nb: unknown field"),
        ({"later": 1}, "later: unknown field"),
        ({"number": "9" * 5000}, "number: "),
    ],
)
def test_a_field_that_cannot_be_is_named_in_one_short_line(change, message):
    with pytest.raises(ConfigError, match=f"^not a trial of a campaign: {message}") as raised:
        parse_row(line({**ROW, **change}))
    assert len(str(raised.value)) < 401 and "\n" not in str(raised.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_row_is_an_error(text):
    with pytest.raises(ConfigError, match="not a trial of a campaign"):
        parse_row(text)


def test_all_rows_have_as_many_accuracies(tmp_path):
    path = tmp_path / TRIALS
    rows = [TrialResult(Trial(0), (9.0, 8.0)).row(), ROW]
    path.write_bytes(b"".join(line(row) + b"\n" for row in rows))
    with pytest.raises(ConfigError, match="line 2: metrics: has 1 accuracies, and 2 in the rows"):
        read_rows(path)


def test_a_key_that_stands_twice_is_an_error():
    twice = line(ROW).replace(b'"upsets": 0', b'"upsets": 0, "upsets": 3')
    with pytest.raises(ConfigError, match="key 'upsets' stands twice"):
        parse_row(twice)
