"""Tables for other programs."""

import csv

import pytest

import made_up
from seu_plugin.errors import ConfigError
from seu_plugin.report.export import write_summary_csv, write_table


def test_a_summary_survives_csv(tmp_path):
    summary = made_up.summary()
    write_summary_csv(tmp_path / "s.csv", summary)
    with (tmp_path / "s.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    for row, told in zip(summary.bers, found):
        assert float(told["ber"]) == row.ber
        assert float(told["mean"]) == row.mean
        assert (
            float(told["drop_any_law_interval_low"]),
            float(told["drop_any_law_interval_high"]),
        ) == row.drop_any_law_interval
        assert float(told["q50"]) == row.quantiles[2]
        assert int(told["critical"]) == row.outcomes.critical
    assert found[0]["step_interval_low"] == ""
    assert float(found[1]["step_interval_low"]) == summary.bers[1].step_interval.low


def rows():
    return [*made_up.results(architectures=2), *made_up.sensitivity()[0]]


def test_all_trials_in_one_table(tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs the extra: export")
    write_table(tmp_path / "t.csv", rows(), made_up.golden(2))
    table = pandas.read_csv(tmp_path / "t.csv", float_precision="round_trip")
    assert list(table.id) == ["golden", *(r.trial.id for r in rows())]
    assert table.top1_1[1] == rows()[0].metrics[1]
    assert table["upsets.fc"][1] == 3


def test_parquet_says_the_same_as_csv(tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs the extra: export")
    pytest.importorskip("pyarrow", reason="needs the extra: export")
    for name in ("t.csv", "t.parquet"):
        write_table(tmp_path / name, rows(), made_up.golden(2))
    one = pandas.read_csv(tmp_path / "t.csv", float_precision="round_trip")
    two = pandas.read_parquet(tmp_path / "t.parquet")
    assert list(one.columns) == list(two.columns)
    for name in ("id", "ber", "top1_0", "upsets", "ran"):
        assert one[name].dropna().tolist() == two[name].dropna().tolist()


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"allowed are \.csv, \.parquet; received '\.xls'"):
        write_table(tmp_path / "t.xls", rows(), made_up.golden())


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"pip install 'seu-plugin\[export\]'"):
        write_table(tmp_path / "t.csv", rows(), made_up.golden())


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_file_that_cannot_be_written_is_an_error(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"{name}: cannot write \(.*[Nn]o.* file"):
        write_table(tmp_path / "none" / name, made_up.results(), made_up.golden())
