"""Campaigns from Python: whole, killed, in shards."""

import json
import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time

import pytest
import torch

import toy
from kept import agree, rows
from rfquant_hooks import Stopped
from seu_plugin import Campaign
from seu_plugin.analysis.folders import merged, summary_of
from seu_plugin.analysis.manifest import read_manifest
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.campaign import reuse_check
from seu_plugin.errors import ConfigError, InjectionError, SiteError
from seu_plugin.injection import reuse
from seu_plugin.report.files import write_report

IMAGES = toy.batch(16)
SETTINGS = {"ber": [1e-4, 1e-3, 1e-2], "trials": 10, "seed": 3, "max_drop": 10.0}


def campaign(folder, model=None, pause=0.0, **settings):
    model = toy.net() if model is None else model
    with torch.no_grad():
        labels = model(IMAGES).argmax(1)

    def evaluate():
        time.sleep(pause)
        with torch.no_grad():
            return float((model(IMAGES).argmax(1) == labels).double().mean()) * 100.0

    return Campaign(model, evaluate, **{**SETTINGS, "output": str(folder), **settings})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    campaign(folder, sensitivity={"trials": 4}).run()
    return folder


def test_it_writes_its_files_and_ends_with_the_threshold(tmp_path, capsys):
    summary = campaign(tmp_path).run()
    assert summary.golden == (100.0,)
    assert summary.thresholds[0].low <= summary.thresholds[0].ber <= summary.thresholds[0].high
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"manifest.json", "trials.jsonl", "summary.csv", "ber_curve.png", "report.html"}
    out = capsys.readouterr().out
    assert "accuracy has dropped by 10 percentage points at BER" in out
    assert "report.html" in out


def run_and_pause(folder):
    torch.set_num_threads(1)
    campaign(folder, pause=0.008, sensitivity={"trials": 4}).run()


@pytest.mark.slow
def test_a_campaign_killed_20_times_ends_as_one_that_never_was(whole, tmp_path):
    context = multiprocessing.get_context("fork")
    chance, kills = random.Random(1), 0
    while True:
        process = context.Process(target=run_and_pause, args=(tmp_path,))
        process.start()
        if kills < 20:
            process.join(timeout=chance.uniform(0.02, 0.12))
        else:
            process.join()
        if process.exitcode is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
    assert (kills, process.exitcode) == (20, 0)
    lines = (tmp_path / TRIALS).read_text().splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == len(lines)
    assert agree(rows(tmp_path), rows(whole))
    for name in ("summary.json", "summary.csv"):
        assert (tmp_path / name).read_text() == (whole / name).read_text()


def told(folder, limit=None):
    """Runs the campaign; what it is stopped by decides the exit code, as in a host."""
    torch.set_num_threads(1)
    if limit is not None:  # bytes that the rows may have: a disk that is full
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        run_and_pause(folder)
    except (Stopped, ConfigError) as error:
        (folder.parent / "told.txt").write_text(str(error))
        os._exit(getattr(error, "exit_code", 2))


@pytest.mark.slow
def test_disturbances_of_every_kind_end_in_the_rows_of_one_that_was_left_alone(whole, tmp_path):
    """5 folders removed, then, in any order, 20 kills, 5 full disks and 5 times Ctrl-C."""
    folder, message = tmp_path / "out", tmp_path / "told.txt"
    context = multiprocessing.get_context("fork")
    chance = random.Random(2)
    later = ["kill"] * 20 + ["full"] * 5 + ["stop"] * 5
    chance.shuffle(later)
    for kind in ["remove"] * 5 + later:
        there = (folder / TRIALS).stat().st_size if (folder / TRIALS).exists() else 0
        limit = max(there, 4000) + 700 if kind == "full" else None  # the manifest still fits
        process = context.Process(target=told, args=(folder, limit))
        process.start()
        while kind != "full" and not _grown(folder, there):
            time.sleep(0.001)
        if kind == "remove":
            shutil.rmtree(folder)
        elif kind != "full":
            os.kill(process.pid, signal.SIGINT if kind == "stop" else signal.SIGKILL)
        process.join()
        codes = {"remove": 2, "full": 2, "stop": 130, "kill": -signal.SIGKILL}
        assert process.exitcode == codes[kind], kind
        if kind != "kill":
            text = message.read_text()
            assert "\n" not in text and len(text) <= 400
            expected = {"remove": "was removed", "full": "File too large", "stop": "stopped; "}
            assert expected[kind] in text and "the same command" in text
    process = context.Process(target=told, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert agree(rows(folder), rows(whole))
    assert (folder / "summary.json").read_text() == (whole / "summary.json").read_text()


def _grown(folder, size):
    try:
        return (folder / TRIALS).stat().st_size > size + 600
    except OSError:
        return False


def test_two_shards_merged_equal_one_run(tmp_path):
    sensitivity = {"trials": 4}
    campaign(tmp_path / "one", threshold="grid", sensitivity=sensitivity).run()
    for i in range(2):
        campaign(tmp_path / str(i), shard=f"{i}/2", sensitivity=sensitivity).run()
    parts = [tmp_path / "0", tmp_path / "1"]
    assert not rows(parts[0]).keys() & rows(parts[1]).keys() - {"golden"}
    write_report(parts, tmp_path / "both")
    one, both = (tmp_path / d / "summary.json" for d in ("one", "both"))
    assert one.read_text() == both.read_text()


def test_shards_of_different_campaigns_are_refused(tmp_path):
    campaign(tmp_path / "0", shard="0/2").run()
    campaign(tmp_path / "1", shard="1/2", bits="msb").run()
    with pytest.raises(ConfigError, match=r"differs in section\.bits"):
        merged([tmp_path / "0", tmp_path / "1"])


def test_more_trials_go_on_from_those_that_are_there(tmp_path, capsys):
    campaign(tmp_path, max_drop=None).run()
    before = rows(tmp_path)
    campaign(tmp_path, max_drop=None, trials=12).run()
    after = rows(tmp_path)
    assert len(after) == len(before) + 3 * 2
    assert "has 30 trials already" in capsys.readouterr().out


def test_another_model_is_another_campaign(tmp_path):
    campaign(tmp_path).run()
    model = toy.net()
    with torch.no_grad():
        model.fc.weight[0, 0] += 1.0
    with pytest.raises(ConfigError, match="differs in model"):
        campaign(tmp_path, model).run()


def test_another_golden_run_is_an_error(tmp_path):
    campaign(tmp_path).run()
    other = campaign(tmp_path)
    evaluate = other._evaluate
    other._evaluate = lambda: evaluate() - 1.0
    with pytest.raises(InjectionError, match=r"now gives 99\.0000 %, and gave 100\.0000 %"):
        other.run()


def test_several_accuracies(tmp_path):
    found = campaign(tmp_path, threshold="grid")
    evaluate = found._evaluate
    found._evaluate = lambda: [evaluate(), 50.0]
    summary = found.run()
    assert summary.golden == (100.0, 50.0)
    assert len(summary.thresholds) == 2


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"workers": 2}, r"campaign\.workers: processes start a host"),
        ({"engine": "ray"}, r"campaign\.workers: processes start a host"),
        ({"trails": 3}, r"campaign\.trails: unknown key; .*did you mean 'trials'"),
        ({"encoding": "grey"}, "did you mean 'gray'"),
    ],
)
def test_mistakes_are_named(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        campaign(tmp_path, **settings)


@pytest.mark.parametrize(
    "given",
    [
        {"mode": "mbu", "mbu": {"sizes": {1: 0.5, 2: 0.5}}},
        {"mode": "asymmetric", "asymmetric": {"one_to_zero": 0.5}},
        {"protection": {"scheme": "tmr", "bits": "msb"}, "memory": {"packing": "aligned"}},
        {"targets": ["weights", "biases"]},
    ],
)
def test_campaigns_of_other_fault_models_go_on_where_they_stopped(tmp_path, given):
    settings = {"ber": [0.02], "threshold": "grid"}
    for trials in (2, 4):
        summary = campaign(tmp_path, trials=trials, **settings, **given).run()
        assert summary.bers[0].trials == trials
    with pytest.raises(ConfigError, match="another campaign"):
        campaign(tmp_path, trials=4, **settings).run()


def test_a_single_upset_study_from_python(tmp_path):
    summary = campaign(tmp_path, mode="exact_count", upsets=2, ber=None, trials=5).run()
    (whole,) = summary.sensitivity
    assert (whole.site, whole.bit, whole.trials, summary.bers) == (None, None, 5, ())
    rows = [json.loads(line) for line in (tmp_path / "trials.jsonl").open()]
    assert [row["upsets"] for row in rows[1:]] == [2] * 5
    assert (tmp_path / "report.html").exists()


def test_a_mission_from_python(tmp_path):
    mission = {"duration": "30 d", "scrub_interval": "3 d", "points": 3}
    given = {"rate": {"upsets_per_bit_day": 0.01}, "mission": mission, "ber": None}
    summary = campaign(tmp_path, trials=4, threshold="grid", **given).run()
    (found,) = summary.missions
    assert (found.scrubs, found.missions, found.points) == (9, 4, 3)
    assert [row.ber for row in summary.bers] == [pytest.approx((1 - math.exp(-0.06)) / 2)]
    rows = [json.loads(line) for line in (tmp_path / "trials.jsonl").open()]
    assert [row["id"] for row in rows if "moment" in row][:3] == [
        "mission@0:0",
        "mission@1:0",
        "mission@2:0",
    ]
    assert (tmp_path / "mission.png").stat().st_size > 5_000
    assert summary_of([tmp_path]).missions == (found,)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.98, "the golden run gave 0.98, which looks like a fraction"),
        (None, "must return the top-1 accuracy in percent, .*; received None"),
        ("98 %", "must return the top-1 accuracy in percent, .*; received '98 %'"),
    ],
)
def test_an_accuracy_that_is_no_percentage_is_an_error(tmp_path, value, message):
    model = toy.net()

    def evaluate():
        with torch.no_grad():
            model(toy.batch())
        return value

    with pytest.raises(ConfigError, match=message):
        Campaign(model, evaluate, ber=[0.1], trials=2, output=str(tmp_path / "r")).run()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sensitivity": {"upsets": 200}, "ber": [0.1]}, "stratum conv1#0 has 72 bits"),
        ({"mode": "exact_count", "upsets": 10**6, "ber": None}, "upsets: is 1,000,000, but the"),
    ],
)
def test_upsets_that_do_not_fit_cost_no_trial(tmp_path, settings, message):
    with pytest.raises((ConfigError, SiteError), match=message):
        campaign(tmp_path, trials=4, threshold="grid", **settings).run()
    assert not (tmp_path / TRIALS).exists()


def test_other_data_of_the_same_golden_accuracy_is_noticed(tmp_path):
    def run(images):
        model = toy.net()

        def evaluate():
            with torch.no_grad():
                model(images)
            return 100.0

        Campaign(model, evaluate, ber=1e-2, trials=2, seed=1, output=str(tmp_path)).run()

    run(IMAGES)
    run(IMAGES.clone())
    noise = torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InjectionError, match="or other outputs"):
        run(IMAGES + 1e-4 * noise)


@pytest.mark.parametrize("layers", ["conv2", ["conv2", "fc"], {"include": "conv*"}])
def test_layers_are_given_as_to_an_injector(tmp_path, layers):
    campaign(tmp_path, layers=layers, ber=1e-2, trials=2).run()
    named = {"conv2"} if layers == "conv2" else {"conv1", "conv2", "conv3", "fc"}
    assert {site for row in rows(tmp_path).values() for site in row.upsets_by_site} <= named


def test_a_campaign_needs_a_function():
    with pytest.raises(ConfigError, match=r"Campaign\.evaluate: must be a function"):
        Campaign(toy.net(), None, ber=0.1)


def plain_rows(folder):
    return {r.trial.id: {**r.row(), "seconds": 0} for r in read_rows(folder / TRIALS)[0]}


@pytest.mark.parametrize("sensitivity", [None, {"trials": 3}])
def test_rows_with_and_without_reuse_are_the_same(tmp_path, capsys, monkeypatch, sensitivity):
    monkeypatch.setattr(reuse, "WORTH", 0.0)
    asked = {"sensitivity": sensitivity, "ber": [1e-4, 1e-2], "trials": 6, "threshold": "grid"}
    campaign(tmp_path / "all", reuse=False, **asked).run()
    assert "was reused" not in capsys.readouterr().out
    campaign(tmp_path / "less", reuse_memory="64 MiB", **asked).run()
    assert "% of the work of the trials was reused" in capsys.readouterr().out
    assert plain_rows(tmp_path / "all") == plain_rows(tmp_path / "less")
    manifests = [read_manifest(tmp_path / name) for name in ("all", "less")]
    assert manifests[0]["campaign_hash"] == manifests[1]["campaign_hash"]


def test_the_adapters_that_found_sites_are_kept(tmp_path):
    campaign(tmp_path, layers=["conv1", "fc"], ber=1e-3, trials=2, max_drop=None).run()
    assert read_manifest(tmp_path)["adapters"] == {"conv1": "rfquant", "fc": "rfquant"}
    assert "rfquant (2)" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_says_what_share_of_the_work_was_reused(tmp_path, monkeypatch):
    monkeypatch.setattr(reuse, "WORTH", 0.0)
    monkeypatch.setattr(reuse_check, "CHECKED", 0)
    for trials in (3, 6):  # the second run adds to what the first has noted
        campaign(tmp_path, ber=1e-3, trials=trials, threshold="grid").run()
        noted = read_manifest(tmp_path)["reused"]
        assert noted["trials"] == trials and 0.0 < noted["share"] < 1.0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"({100 * noted['share']:.0f} % of the work of 6 was the golden run" in page


def test_a_campaign_goes_on_with_other_reuse(tmp_path, monkeypatch):
    monkeypatch.setattr(reuse, "WORTH", 0.0)
    asked = {"threshold": "grid", "ber": [1e-4, 1e-3]}
    campaign(tmp_path / "one", reuse=False, trials=3, **asked).run()
    campaign(tmp_path / "one", reuse_memory=1 << 20, trials=6, **asked).run()
    campaign(tmp_path / "other", reuse=False, trials=6, **asked).run()
    assert agree(rows(tmp_path / "one"), rows(tmp_path / "other"))


def test_environments_are_reported_and_read_again(tmp_path):
    several = [
        {"name": "quiet", "share": 0.9, "rate": {"upsets_per_bit_day": 1e-4}},
        {"name": "storm", "share": 0.1, "rate": {"upsets": 4, "device_hours": 24.0, "bits": 1e4}},
    ]
    mission = {"duration": "30 d", "scrub_interval": "3 d", "points": 3, "environments": several}
    asked = {"mission": mission, "ber": None, "trials": 3, "threshold": "grid"}
    summary = campaign(tmp_path, **asked).run()
    (found,) = summary.missions
    assert summary.rate is None  # each environment has its own
    assert found.environments == 2
    assert found.per_bit_day == pytest.approx(0.9e-4 + 0.1 * 4e-4)
    assert "2 environments in turn: 0.00013 upsets of a bit a day" in "\n".join(found.text())
    assert summary_of([tmp_path]).missions == (found,)
    assert campaign(tmp_path, **asked).run() == summary
