"""Lines read many at once are what they are one by one, and mistakes are left to that."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import made_up
from seu_plugin.analysis.columns import Rows
from seu_plugin.analysis.parsing import plain_table
from seu_plugin.analysis.rows import TRIALS, parse_row, read_rows
from seu_plugin.analysis.trials import Outcomes, Trial, TrialResult
from seu_plugin.errors import ConfigError

GOLDEN = TrialResult(Trial(0), (98.0,), digest="a:b", images=9, right=("x",), bits=5)
FULL = TrialResult(
    *(Trial(7, 1e-3), (97.0,), 3, 2, 5, {"fc": 3}, Outcomes(1, 2, 3, 4), False, 0.5, 1, 2, 3),
    struck=((1, 2),),
    changed=("u16:~",),
    wrong_to_wrong=(4,),
)
RESULTS = [GOLDEN, FULL, *made_up.results(), *made_up.sensitivity()[0]]
ROW = FULL.row()


def line(row):
    return row if isinstance(row, bytes) else json.dumps(row).encode()


def lines(results):
    return [line(result.row()) for result in results]


def test_rows_as_they_are_written_are_plain():
    table = plain_table(lines(RESULTS))
    assert table is not None and list(Rows(table)) == RESULTS


ODD = [
    *({**ROW, key: None} for key in ROW),
    *({k: v for k, v in ROW.items() if k != key} for key in ROW),
    *({**ROW, key: value} for key in ROW for value in (True, -1, 1.5, "1", [], {}, [None], [[1]])),
    *({**ROW, key: 1 << 63} for key in ROW),
    *({**ROW, key: float("nan")} for key in ROW),
    {**ROW, "later": 1},
    {**ROW, "id": "0.001:8"},
    {**ROW, "metrics": [101.0]},
    {**ROW, "metrics": [97]},
    {**ROW, "metrics": [97.0, 96.0]},
    {**ROW, "ber": 2.0, "id": "2.0:7"},
    {**ROW, "ber": 1, "id": "1:7"},
    {**ROW, "seconds": float("inf")},
    {**ROW, "struck": [[1, 2, 3]]},
    {**ROW, "struck": [[1, -2]]},
    {**ROW, "upsets_by_site": {"fc": 1.0}},
    {**ROW, "upsets_by_site": {"f:c": 1}},
    {**ROW, "upsets_by_site": {"f\u00e9": 1}},
    {**ROW, "outcomes": {"masked": 1}},
    {**ROW, "outcomes": {**ROW["outcomes"], "masked": None}},
    {**ROW, "images": 0},
    {**ROW, "right": ["x", "y"]},
    *(b"", b"{", b"[]", b"null", b"\xff", b"[" * 9999, b"{}", b"1,null,2"),
    line(ROW) + b",null," + line(ROW),
    line(ROW).replace(b'"upsets": 3', b'"upsets": 3, "upsets": 3'),
    line(ROW).replace(b'"fc": 3', b'"fc": 3, "fc" :3'),
    line(ROW).replace(b'"seconds": 0.5', b'"seconds": 0.5, "second\\u0073": 0.5'),
    b"\xef\xbb\xbf" + line(ROW),
    line(ROW).replace(b" ", b"  "),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: line(odd)[:40].decode("latin-1"))
def test_many_at_once_say_no_more_and_no_less_than_one_by_one(odd):
    several = [line(FULL.row()).replace(b":7", b":9").replace(b": 7,", b": 9,"), line(odd)]
    table = plain_table(several)
    if table is not None:
        assert list(Rows(table)) == [parse_row(one) for one in several]


def test_no_object_begins_in_one_line_and_ends_in_another():
    whole = line(ROW)
    for at in range(0, len(whole), 3):
        pair = line(GOLDEN.row()) + b",null," + whole
        assert plain_table([whole[:at], whole[at:]]) is None
        assert plain_table([whole[:at], whole[at:], pair]) is None


@given(st.data())
def test_a_damaged_byte_is_never_taken_otherwise(data):
    rows = lines([GOLDEN, FULL])
    at = data.draw(st.integers(0, len(rows[1]) - 1))
    byte = data.draw(st.sampled_from(b'0919-+.eE:,{}[]" \\xntf'))
    rows[1] = rows[1][:at] + bytes([byte]) + rows[1][at + 1 :]
    table = plain_table(rows)
    if table is not None:
        assert list(Rows(table)) == [parse_row(one) for one in rows]


@pytest.mark.parametrize("piece", [64, 700, 1 << 20])
def test_pieces_of_any_size_make_one_file(tmp_path, monkeypatch, piece):
    monkeypatch.setattr("seu_plugin.analysis.rows._PIECE", piece)
    whole = b"".join(one + b"\n" for one in lines(RESULTS))
    path = tmp_path / TRIALS
    path.write_bytes(whole + b'{"id": "tor')
    found, complete = read_rows(path)
    assert list(found) == RESULTS and complete == len(whole)
    path.write_bytes(whole.replace(b"\n", b"\r\n"))
    assert list(read_rows(path)[0]) == RESULTS
    path.write_bytes(b"")
    assert [*read_rows(path)[0]] == [] and read_rows(path)[1] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.insert(30, rows[1]), "line 31: trial 0.001:7 comes twice"),
        (lambda rows: rows.insert(25, b"x"), "line 26: not a trial of a campaign: is not JSON"),
        (lambda rows: rows.insert(0, b""), "line 1: not a trial of a campaign: is not JSON"),
    ],
)
def test_the_first_mistake_is_told_wherever_pieces_end(tmp_path, monkeypatch, change, message):
    monkeypatch.setattr("seu_plugin.analysis.rows._PIECE", 900)
    rows = lines(RESULTS)
    change(rows)
    rows.insert(35, b"{")  # a later one
    path = tmp_path / TRIALS
    path.write_bytes(b"".join(one + b"\n" for one in rows))
    with pytest.raises(ConfigError, match=message):
        read_rows(path)
