"""The store: synced rows, torn lines, other people's folders."""

import json
import multiprocessing
from pathlib import Path

import pytest

from seu_plugin.analysis.manifest import MANIFEST, check_same_campaign, read_manifest
from seu_plugin.analysis.results import ResultStore, check_folder, lock
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.analysis.trials import Trial, TrialResult
from seu_plugin.errors import ConfigError
from seu_plugin.files import write_whole

IDENTITY = {
    "seed": 1,
    "section": {"bits": "all", "layers": {"include": ["*"]}},
    "widths": {"fc": [8]},
    "model": "abc",
}
PLAN = {
    "format": 1,
    "identity": IDENTITY,
    "seed": 1,
    "shard": "0/1",
    "versions": {"torch": "2.13"},
    "plan": {"trials": 2},
    "started": "then",
}
GOLDEN = TrialResult(Trial(0), (98.0,))
ROWS = [TrialResult(Trial(i, 0.1), (90.0 + i,)) for i in range(3)]


@pytest.fixture
def folder(tmp_path):
    store = ResultStore(tmp_path / "out", PLAN)
    for result in (GOLDEN, *ROWS):
        store.append(result)
    store.close()
    return tmp_path / "out"


def test_rows_are_read_again(folder):
    store = ResultStore(folder, PLAN)
    assert store.golden == GOLDEN
    assert list(store.results.values()) == ROWS
    store.close()


def test_each_row_is_on_disk_before_the_next(tmp_path):
    store = ResultStore(tmp_path, PLAN)
    for number, result in enumerate(ROWS, 1):
        store.append(result)
        assert len(read_rows(tmp_path / TRIALS)[0]) == number
    store.close()


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_is_dropped_and_written_again(folder, cut):
    path = folder / TRIALS
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    store = ResultStore(folder, PLAN)
    assert len(store.results) == 2
    store.append(ROWS[2])
    store.close()
    assert path.read_bytes() == whole


def test_a_broken_line_within_is_an_error(folder):
    lines = (folder / TRIALS).read_text().splitlines(True)
    (folder / TRIALS).write_text(lines[0] + lines[1][:20] + "\n" + lines[2])
    with pytest.raises(ConfigError, match=r"trials\.jsonl, line 2: "):
        ResultStore(folder, PLAN)


def test_a_trial_is_written_once(folder):
    store = ResultStore(folder, PLAN)
    for known in (ROWS[0], GOLDEN):
        with pytest.raises(ConfigError, match=r"has trial .* already"):
            store.append(known)
    store.close()
    (folder / TRIALS).write_bytes((folder / TRIALS).read_bytes() * 2)
    with pytest.raises(ConfigError, match="comes twice"):
        read_rows(folder / TRIALS)


@pytest.mark.parametrize(
    "changed,named",
    [
        ({"identity": {**IDENTITY, "seed": 2}}, "differs in seed:"),
        (
            {"identity": {**IDENTITY, "section": {"bits": "all", "layers": {"include": ["a"]}}}},
            r"differs in section\.layers\.include:",
        ),
        ({"shard": "1/2"}, "differs in shard:"),
    ],
)
def test_another_campaign_is_refused(folder, changed, named):
    with pytest.raises(ConfigError, match=named):
        ResultStore(folder, {**PLAN, **changed})


def test_a_larger_plan_goes_on_in_the_same_folder(folder):
    ResultStore(folder, {**PLAN, "plan": {"trials": 9}, "started": "now"}).close()
    manifest = read_manifest(folder)
    assert (manifest["plan"], manifest["started"]) == ({"trials": 9}, "then")


def test_a_part_of_an_identity_can_be_compared(folder):
    check_same_campaign(read_manifest(folder), {"seed": 1}, folder)
    with pytest.raises(ConfigError, match="seed"):
        check_same_campaign(read_manifest(folder), {"seed": 3}, folder)


def hold(folder, ready, leave):
    store = ResultStore(folder, PLAN)
    ready.set()
    leave.wait()
    store.close()


def test_a_folder_has_one_writer(folder):
    pytest.importorskip("fcntl", reason="files are locked on POSIX systems only")
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(folder, ready, leave))
    other.start()
    assert ready.wait(60)
    with pytest.raises(ConfigError, match="another process is writing"):
        ResultStore(folder, PLAN)
    leave.set()
    other.join()


def test_trials_without_a_manifest_are_not_touched(folder):
    (folder / MANIFEST).unlink()
    with pytest.raises(ConfigError, match=r"has a trials\.jsonl but no manifest\.json"):
        ResultStore(folder, PLAN)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"output: cannot write to .*file"):
        ResultStore(tmp_path / "file", PLAN)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_manifest_is_named(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ConfigError, match=r"manifest\.json: (is not JSON|must be a JSON object)"):
        read_manifest(tmp_path)


def test_a_folder_without_a_campaign_is_named(tmp_path):
    with pytest.raises(ConfigError, match="is not the folder of a campaign"):
        read_manifest(tmp_path)


def test_files_are_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.json"
    write_whole(path, "one")
    write_whole(path, json.dumps([2]))
    assert path.read_text() == "[2]"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_checked_before_anything_is_run(tmp_path):
    check_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="output: cannot write to"):
        check_folder(tmp_path / "file" / "x")
    with pytest.raises(ConfigError, match="output: cannot write to"):
        check_folder(Path("/proc/x"))


@pytest.mark.parametrize(
    ("rows", "message"), [("{}\n", "no manifest.json"), ("nonsense\n", "no manifest.json")]
)
def test_rows_without_a_manifest_are_found_before_anything_is_run(tmp_path, rows, message):
    (tmp_path / TRIALS).write_text(rows)
    with pytest.raises(ConfigError, match=message):
        check_folder(tmp_path)
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(ConfigError, match=r"trials\.jsonl, line 1"):
        check_folder(tmp_path)


def test_a_metric_that_is_no_number_is_named_by_its_line(tmp_path):
    row = {**TrialResult(Trial(0, 1e-3), (98.0,)).row(), "metrics": ["x"]}
    (tmp_path / TRIALS).write_text(json.dumps(row) + "\n")
    with pytest.raises(ConfigError, match="line 1: not a trial of a campaign"):
        read_rows(tmp_path / TRIALS)


def test_a_folder_in_use_is_found_and_several_may_look(tmp_path):
    store = ResultStore(tmp_path, PLAN)
    with pytest.raises(ConfigError, match="another process is writing"):
        check_folder(tmp_path)
    store.close()
    with (tmp_path / TRIALS).open("ab") as other:
        lock(other, tmp_path, shared=True)
        check_folder(tmp_path)
