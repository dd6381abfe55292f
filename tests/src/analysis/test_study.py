"""From a sensitivity study to a plan."""

from dataclasses import replace
from pathlib import Path

import pytest

import made_up
from seu_plugin.analysis.intervals import Interval
from seu_plugin.analysis.planner import plan
from seu_plugin.analysis.study import independence_note, parts_of
from seu_plugin.errors import ConfigError

SITES = made_up.SITES


def study(by=("layer",), **changes):
    rows, strata = made_up.sensitivity(by=by)
    summary = made_up.summary([*made_up.results(), *rows], strata)
    changed = tuple(
        replace(one, **changes.get(one.site.replace(".", "_").strip("<>"), {}))
        for one in summary.sensitivity
    )
    return replace(summary, sensitivity=changed)


def manifest(bits="all", width=4):
    return {"identity": {"section": {"bits": bits}, "widths": {site: [width] for site in SITES}}}


def test_upper_ends_are_taken():
    summary = study()
    parts = parts_of(manifest(), summary)
    assert [part.drops[0] for part in parts] == [s.interval.high for s in summary.sensitivity]
    assert {(part.codes, part.width) for part in parts} == {(25, 4)}


def test_a_site_whose_trials_all_agreed_is_not_taken_for_immune():
    point = {"interval": Interval(0.0, 0.0), "drop": 0.0}
    parts = parts_of(manifest(), study(conv1=point))
    others = [part.drops[0] for part in parts if part.site != "conv1"]
    assert parts[0].drops == (min(others),) * 4
    assert plan(parts, 1e-3, 0.01, ("secded_39_32",)).choices["conv1"].scheme == "secded_39_32"


def test_a_site_that_was_tried_word_by_word_may_be_immune():
    point = {"interval": Interval(0.0, 0.0), "drop": 0.0, "exhaustive": True}
    assert parts_of(manifest(), study(conv1=point))[0].drops == (0.0,) * 4


@pytest.mark.parametrize(("bits", "positions"), [("msb", [3]), ([0, 2], [0, 2])])
def test_bits_that_were_not_exposed_count_as_stored(bits, positions):
    part = parts_of(manifest(bits), study())[0]
    assert part.codes == 100 // len(positions)
    assert [b for b, drop in enumerate(part.drops) if drop] == positions


def test_a_study_without_layers_is_refused():
    with pytest.raises(ConfigError, match="no sensitivity study by layer"):
        parts_of(manifest(), made_up.summary())


@pytest.mark.parametrize(("mode", "told"), [("ber", None), ("mbu", "the memory has mode mbu")])
def test_a_plan_for_upsets_that_are_not_independent_says_so(monkeypatch, mode, told):
    about = {"identity": {"section": {"mode": mode}}}
    monkeypatch.setattr("seu_plugin.analysis.study.merged", lambda folders: (about, None, None))
    note = independence_note(Path("x"))
    assert note is None if told is None else told in note
