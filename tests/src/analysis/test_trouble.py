"""Folders that somebody else changes, links that lead elsewhere, disks that are full."""

import errno
import json
import os
import pickle
import shutil

import pytest
from click.testing import CliRunner

import made_up
from seu_plugin.analysis.manifest import MANIFEST, read_manifest
from seu_plugin.analysis.results import ResultStore, check_folder
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.analysis.trials import Trial, TrialResult
from seu_plugin.commands import cli
from seu_plugin.errors import ConfigError
from seu_plugin.files import write_whole
from seu_plugin.report.files import strict_json, write_report

PLAN = {
    "format": 1,
    "identity": {"seed": 1, "section": {"bits": "all"}, "widths": {"fc": [8]}, "model": "abc"},
    "seed": 1,
    "shard": "0/1",
    "versions": {"torch": "2.13"},
    "plan": {"trials": 2, "ber": [1e-4, 1e-3, 1e-2]},
}


@pytest.fixture
def store(tmp_path):
    store = ResultStore(tmp_path / "out", PLAN)
    store.append(made_up.golden())
    yield store
    store.close()


def row(number):
    return TrialResult(Trial(number, 1e-3), (90.0,))


def line(error):
    text = str(error.value)
    assert "\n" not in text and len(text) <= 400
    return text


def test_a_full_disk_loses_no_row_and_leaves_no_torn_one(store, monkeypatch):
    store.append(row(0))
    before = (store.folder / TRIALS).read_bytes()
    real = os.write

    def full(file, data):
        if real(file, data[:20]):  # a part of it still fits
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(ConfigError, match="No space left") as error:
            store.append(row(1))
    assert "1 trials are safe in it: the same command goes on from there" in line(error)
    assert (store.folder / TRIALS).read_bytes() == before
    store.append(row(1))
    assert [r.trial.number for r in read_rows(store.folder / TRIALS)[0]][1:] == [0, 1]


def test_a_folder_that_is_gone_is_noticed_at_the_next_row(store):
    store.append(row(0))
    shutil.rmtree(store.folder)
    with pytest.raises(
        ConfigError, match=r"removed or moved .* 1 trials: the same command"
    ) as error:
        store.append(row(1))
    line(error)


def test_a_file_that_was_replaced_is_noticed(store):
    copy = store.folder / "copy"
    shutil.copy(store.folder / TRIALS, copy)
    copy.replace(store.folder / TRIALS)
    with pytest.raises(ConfigError, match="was replaced by another file") as error:
        store.append(row(0))
    line(error)


@pytest.mark.parametrize("size", [-1, 10])
def test_a_file_that_was_cut_or_appended_to_is_noticed(store, size):
    path = store.folder / TRIALS
    os.truncate(path, path.stat().st_size + size)
    with pytest.raises(ConfigError, match="was changed while the campaign ran") as error:
        store.append(row(0))
    line(error)


def test_rows_are_not_written_through_a_link(store, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    other = tmp_path / "other"
    other.mkdir()
    (other / TRIALS).symlink_to(elsewhere)
    for run in (lambda: ResultStore(other, PLAN), lambda: check_folder(other)):
        with pytest.raises(ConfigError, match="is a link, which is not followed"):
            run()
    assert elsewhere.read_text() == ""


def test_no_link_in_a_folder_leads_a_report_out_of_it(store, tmp_path):
    for number in range(2):
        for ber in made_up.BERS:
            store.append(TrialResult(Trial(number, ber), (90.0 - number,)))
    outside = tmp_path / "outside"
    outside.mkdir()
    names = ["summary.json", "summary.csv", "ber_curve.png", "report.html"]
    for name in names:
        (outside / name).write_text("mine")
        for link in (name, f"{name}.partial"):
            (store.folder / link).symlink_to(outside / name)
    write_report([store.folder], store.folder)
    assert {(outside / name).read_text() for name in names} == {"mine"}
    assert not any((store.folder / name).is_symlink() for name in names)
    assert not list(store.folder.glob(".seu-*"))


@pytest.mark.parametrize("output", ["/proc/nothing", "\0", "x" * 300])
def test_a_report_that_cannot_be_written_is_one_line(store, output, tmp_path):
    store.append(row(0))
    with pytest.raises(ConfigError, match=r"cannot be a folder|cannot write") as error:
        write_report([store.folder], tmp_path / output)
    line(error)


def test_what_has_the_name_of_a_file_and_is_none_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="cannot write") as error:
        write_whole(tmp_path, "x")
    line(error)
    assert not list(tmp_path.glob(".seu-*")) and not list(tmp_path.parent.glob(".seu-*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format: is 99, of a later version"),
        ({"format": "x"}, "format: must be a valid integer"),
        ({"identity": None}, "identity: "),
        ({"identity": {**PLAN["identity"], "seed": "x"}}, r"identity\.seed: .* received 'x'"),
        ({"plan": {"trails": 2}}, "plan: trails: unknown field"),
        ({"plan": {"trials": 10**30}}, "plan: trials: "),
        ({"strata": {"fc#*": "many"}}, r"strata\.fc#\*: "),
        ({"command": "python main.py"}, "command: "),
        ({"threads": None}, "threads: "),
    ],
)
def test_a_damaged_manifest_names_file_and_field(store, change, message):
    path = store.folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=f"{MANIFEST}: {message}") as error:
        read_manifest(store.folder)
    line(error)


@pytest.mark.parametrize("missing", ["format", "identity", "plan", "seed", "versions"])
def test_a_manifest_without_a_field_names_it(store, missing):
    path = store.folder / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest[missing]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=f"{missing}: is missing"):
        read_manifest(store.folder)


@pytest.mark.parametrize("text", ["", "[]", "null", "\udcff", "[" * 100_000, "9" * 5000])
def test_what_is_no_manifest_is_one_line(store, text):
    (store.folder / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=MANIFEST) as error:
        read_manifest(store.folder)
    line(error)


def test_fields_of_later_versions_are_kept(store):
    path = store.folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": [1]}))
    assert read_manifest(store.folder)["later"] == [1]


def test_json_has_no_numbers_that_are_none():
    document = {"a": [1.5, float("inf")], "b": {"c": float("nan")}, "d": (2, None)}
    assert json.loads(strict_json(document)) == {"a": [1.5, None], "b": {"c": None}, "d": [2, None]}


def test_rows_that_have_no_end_are_refused(store, tmp_path):
    path = tmp_path / TRIALS
    path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="is not a plain file"):
        read_rows(path)


def test_a_manifest_that_is_removed_is_noticed(store):
    (store.folder / MANIFEST).unlink()
    with pytest.raises(ConfigError, match=r"manifest\.json was removed while the campaign ran"):
        store.append(row(0))


@pytest.mark.parametrize(
    "section",
    [{"mode": "asymmetric", "asymmetric": "x"}, {"mode": "mbu", "mbu": {"sizes": {"x": 1}}}],
)
def test_a_fault_model_that_cannot_be_is_named(store, section):
    path = store.folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["identity"]["section"] = section
    path.write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"manifest\.json: identity\.section: ") as error:
        write_report([store.folder], store.folder)
    line(error)


def test_text_that_is_no_unicode_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="cannot write") as error:
        write_whole(tmp_path / "x", "\ud800")
    line(error)


def test_what_is_run_cannot_hide_itself(store, monkeypatch):
    path = store.folder / MANIFEST
    hidden = {"command": ["python", "x.py", "\x1b[1A\x1b[2K\r\nrm"], "cwd": "/tmp"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **hidden}))
    result = CliRunner().invoke(cli, ["replay", str(store.folder), "0.001:0"])
    assert isinstance(result.exception, ConfigError)
    shown = result.output + (result.stderr if result.stderr_bytes else "")
    assert "\x1b" not in shown and "\\x1b[1A" in shown


def test_errors_keep_their_lines_in_another_process():
    error = ConfigError("one\ntwo", "three " * 100)
    assert error.lines[0] == "one\\ntwo" and len(error.lines) == 2 and len(error.lines[1]) <= 400
    assert pickle.loads(pickle.dumps(error)).lines == error.lines


def test_a_report_is_not_written_over_another_campaign(store, tmp_path):
    store.append(row(0))
    other = ResultStore(tmp_path / "other", PLAN)
    other.close()
    with pytest.raises(ConfigError, match=r"--output: .*other holds another campaign"):
        write_report([store.folder], other.folder)
