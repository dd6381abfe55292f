"""Trials as columns say what trials as objects do."""

from dataclasses import replace

import numpy as np
import pytest

import made_up
from seu_plugin.analysis.columns import Rows, joined_rows
from seu_plugin.analysis.trials import GOLDEN, Outcomes, Trial, TrialResult

PLACED = made_up.sensitivity()[0]
MORE = [
    TrialResult(Trial(0), (98.0,), digest="ab", images=9, right=("x",)),
    TrialResult(Trial(7, 1e-3), (97.0,), residual=3, corrected=2, detected=1, ran=False),
    TrialResult(Trial(8, 1e-3), (97.0,), struck=((1, 2), (0, 0)), changed=("",)),
    TrialResult(Trial(9, 1e-3), (97.0,), struck=(), wrong_to_wrong=(4,), seconds=0.5),
    TrialResult(Trial(3, None, None, 2, 4, True), (97.0,), outcomes=Outcomes(1, 2, 3, 4)),
]
RESULTS = [*MORE, *made_up.results(), *PLACED]


def test_each_row_is_the_trial_that_it_was():
    rows = Rows.of(RESULTS)
    assert len(rows) == len(RESULTS) and list(rows) == RESULTS
    assert rows[3] == RESULTS[3] and rows[-1] == RESULTS[-1]
    assert list(rows[2:9:3]) == RESULTS[2:9:3]
    assert Rows.of(rows) is rows


def test_a_row_is_plain_python():
    row = Rows.of(RESULTS)[8].row()
    assert row == RESULTS[8].row()
    values = [*row.values(), *row["metrics"], *row["upsets_by_site"].values()]
    assert {type(value).__module__ for value in values} == {"builtins"}


def test_there_may_be_no_row():
    rows = Rows.of([])
    assert list(rows) == [] and rows.by_ber() == {} and rows.upsets_by_site() == {}
    assert not rows.has_one_twice and rows.ids() == []


def test_columns_are_those_of_the_rows():
    rows = Rows.of(RESULTS)
    assert rows.ids() == [r.trial.id for r in RESULTS] and GOLDEN in rows.ids()
    assert rows.number.tolist() == [r.trial.number for r in RESULTS]
    assert rows.metric(0).tolist() == [r.metrics[0] for r in RESULTS]
    assert rows.counted("upsets").tolist() == [r.upsets for r in RESULTS]
    assert rows.counted("residual").tolist()[:3] == [-1, 3, -1]
    assert rows.rare("changed")[:3] == [None, None, ("",)]
    assert rows.ran.tolist() == [r.ran for r in RESULTS]
    assert np.flatnonzero(rows.is_golden).tolist() == [0]
    drawn = [r for r in RESULTS if r.trial.ber is not None]
    ber, accuracy = rows.points(0)
    assert ber.tolist() == [r.trial.ber for r in drawn]
    assert accuracy.tolist() == [r.metrics[0] for r in drawn]


def test_rows_by_ber_are_ascending():
    shuffled = [RESULTS[i] for i in np.random.Generator(np.random.Philox(1)).permutation(20)]
    found = Rows.of(shuffled).by_ber()
    assert list(found) == sorted({r.trial.ber for r in shuffled if r.trial.ber is not None})
    for ber, rows in found.items():
        wanted = [r for r in shuffled if r.trial.ber == ber]
        assert list(rows) == sorted(wanted, key=lambda r: r.trial.number)


def test_upsets_are_summed_by_site():
    rows = Rows.of(RESULTS)[5:8]
    assert rows.upsets_by_site() == dict.fromkeys(sorted(made_up.SITES), 9)


def test_struck_of_other_kinds_is_found():
    rows = Rows.of(MORE)
    assert [r.trial.number for r in rows.not_of_kinds(2)] == [9]
    assert rows[2:3].struck().tolist() == [[[1.0, 2.0], [0.0, 0.0]]]


def test_rows_of_several_tables_are_one():
    parts = [Rows.of(RESULTS[:6])[1:], Rows.of(RESULTS[6:])]
    rows = joined_rows(parts)
    assert list(rows) == RESULTS[1:] and not rows.has_one_twice
    assert joined_rows(parts[:1]) is parts[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Trial(1, 0.1), Trial(1, 0.1)),
        (Trial(0), Trial(0)),
        (Trial(1, None, "fc", 2, 0), Trial(1, None, "fc", 2, 1)),  # of one name
    ],
)
def test_a_trial_that_comes_twice_is_noticed(one, other):
    results = [*MORE, TrialResult(one, (9.0,)), TrialResult(other, (8.0,))]
    assert Rows.of(results).has_one_twice


def test_as_many_accuracies_in_all():
    with pytest.raises(ValueError, match="inhomogeneous"):
        Rows.of([MORE[0], replace(MORE[1], metrics=(1.0, 2.0))])


def test_the_golden_run_is_not_the_first_trial_of_the_whole_memory():
    rows = [TrialResult(Trial(0), (90.0,))]
    rows += [TrialResult(Trial(n, placed=1), (80.0,)) for n in range(3)]
    assert not Rows.of(rows).has_one_twice and Rows.of(rows).ids()[:2] == ["golden", "*#*:0"]
    assert Rows.of([*rows, rows[1]]).has_one_twice and Rows.of([*rows, rows[0]]).has_one_twice
