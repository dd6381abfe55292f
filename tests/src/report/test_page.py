"""The page says what the campaign found, and loads nothing."""

import re
from dataclasses import replace

import pytest

import made_up
from seu_plugin.report.page import report_page
from seu_plugin.report.tables import points


def page(summary=None, rows=None, manifest=made_up.MANIFEST):
    rows = made_up.results() if rows is None else rows
    return report_page(manifest, summary or made_up.summary(rows), rows, ["out/trials.jsonl"])


def test_it_names_the_result():
    summary, text = made_up.summary(), page()
    assert "<b>98.00 %</b>" in text
    assert summary.thresholds[0].text() in text
    for row in summary.bers:
        assert f"<td>{row.ber:.3g}</td>" in text
        assert " … ".join(map(points, row.drop_any_law_interval)) in text


def test_it_tells_how_to_reproduce():
    text = page()
    assert "python main.py &#39;a b.yaml&#39;" in text
    for told in ("/somewhere", "seu replay", "torch 2.13", "fc 8", "out/trials.jsonl"):
        assert told in text


def test_it_loads_nothing_and_runs_nothing():
    text = page()
    assert "<script" not in text
    assert all(
        source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]+)', text)
    )
    assert not re.search(r"https?://|@import|url\(", text)


def test_names_are_escaped():
    assert "layer1.0.&lt;conv2&gt;" in page()
    assert "<conv2>" not in page()


@pytest.mark.parametrize("manifest", [{}, {"command": None}])
def test_a_manifest_may_lack_things(manifest):
    assert "Made from Python" in page(manifest=manifest)


def test_each_architecture_has_a_block():
    rows = made_up.results(architectures=2)
    text = page(made_up.summary(rows, architectures=2), rows)
    assert "Architecture 1" in text and "<b>97.00 %</b>" in text


def test_sensitivity_is_a_table():
    placed, strata = made_up.sensitivity()
    rows = [*made_up.results(), *placed]
    text = page(made_up.summary(rows, strata), rows)
    assert "<td>fc#2</td>" in text


def test_what_protection_did_is_a_table():
    rows = [replace(r, residual=10, corrected=7, detected=3) for r in made_up.results()]
    text = page(made_up.summary(rows), rows)
    assert "<td>7</td><td>3</td><td>10</td><td>0.0001</td>" in text  # of 100,000 bits
    assert "Protection" not in page()


def test_without_a_limit_there_is_no_column_for_it():
    rows = made_up.results()
    assert "maps that lose &gt;" not in page(made_up.summary(rows, max_drop=None), rows)
    assert "maps that lose &gt; 1<" in page()
