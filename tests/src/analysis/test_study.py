"""From a sensitivity study to a plan."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import made_up
from seu_plugin.analysis.intervals import Interval
from seu_plugin.analysis.study import independence_note, parts_of, upper_bounds
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


def test_bounds_hold_for_all_strata_together():
    """One-sided t at a third of what the confidence leaves, for three strata of 4 trials."""
    summary = study()
    parts = parts_of(manifest(), summary)
    t = stats.t(3).ppf(1 - 0.05 / 3)
    expected = [s.drop + t * s.deviation / 2 for s in summary.sensitivity]
    assert [part.drops[0] for part in parts] == pytest.approx(expected)
    assert {(part.codes, part.width) for part in parts} == {(25, 4)}


def test_bounds_hold_as_often_as_they_say():
    """30 strata with known means: no bound is too low in at least 95 of 100 studies."""
    generator = np.random.Generator(np.random.Philox(5))
    whole, held = study(), 0
    one = whole.sensitivity[0]
    for _ in range(300):
        found = []
        for i in range(30):
            drops = generator.normal(0.1 * i, 0.2 + 0.01 * i, 12)
            values = {"drop": drops.mean(), "deviation": drops.std(ddof=1), "trials": 12}
            found.append(replace(one, name=f"s{i}", **values))
        bounds = upper_bounds(replace(whole, sensitivity=tuple(found)))
        held += all(bounds[f"s{i}"] >= 0.1 * i for i in range(30))
    assert held / 300 >= 0.93


def test_a_site_whose_trials_all_agreed_is_not_taken_for_immune():
    point = {"interval": Interval(0.0, 0.0), "drop": 0.0, "deviation": 0.0}
    parts = parts_of(manifest(), study(conv1=point))
    assert parts[0].drops[0] > 0.0 and len(set(parts[0].drops)) == 1


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
