"""Campaigns over the demo host's own validate, in processes of their own."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kept import agree, rows
from seu_plugin.analysis.rows import TRIALS
from seu_plugin.campaign.reuse_check import CHECKED
from seu_plugin.campaign.stopping import TOO_EARLY

WIDTHS = {"path": "search/resnet18_digits_bit_width_config.json"}
GRID = {"ber": [1e-6, 1e-3, 1e-2], "trials": 6, "threshold": "grid", "threads": 1}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def configuration(demo, name, **campaign):
    folder = demo.folder.parent / "results" / name
    campaign = {**GRID, "output": str(folder), **campaign}
    section = {"seed": 42, "bit_width_config": WIDTHS, "campaign": campaign}
    return demo.yaml(f"campaign-{name}", section), folder


@pytest.fixture(scope="session")
def local(demo):
    """Trials of a campaign in one process."""
    config, folder = configuration(demo, "local")
    done = demo.hooked(config, env=ONE_THREAD)
    return done, folder


def test_the_host_receives_the_golden_value(demo, local):
    golden = demo.plain(demo.eval, env=ONE_THREAD).stdout.splitlines()[-1]
    assert local[0].stdout.splitlines()[-1] == golden
    assert rows(local[1])["golden"].metrics == tuple(ast.literal_eval(golden))


@pytest.fixture(scope="session")
def plain(demo):
    """Rows of a campaign whose trials are drawn plainly."""
    config, folder = configuration(demo, "drawn-plainly", sampling="plain")
    demo.hooked(config, env=ONE_THREAD)
    return rows(folder)


def test_plain_trials_are_those_of_single_faulted_runs(demo, plain):
    for trial in (0, 4):
        section = {"ber": 1e-2, "seed": 42, "trial": trial, "bit_width_config": WIDTHS}
        done = demo.hooked(demo.yaml("single", section), env=ONE_THREAD)
        assert plain[f"0.01:{trial}"].metrics == tuple(
            ast.literal_eval(done.stdout.splitlines()[-1])
        )


def test_labels_of_the_host_are_known_and_every_trial_shows_something(local):
    found = rows(local[1])
    assert found["golden"].images == 360
    assert all(r.ran and r.upsets and r.changed is not None for r in found.values() if r.trial.ber)
    page = (local[1] / "report.html").read_text()
    assert "Other images too" in page and "Any law" in page


def test_empty_trials_are_not_run(plain):
    found = [r for r in plain.values() if r.trial.ber == 1e-6]
    assert any(not r.ran for r in found)
    assert all(r.ran == (r.upsets > 0) for r in found)


def test_the_hosts_own_lines_of_trials_are_kept_apart(local):
    done, folder = local
    assert done.stdout.count("Arch 0:") == 1
    ran = sum(r.ran for r in rows(folder).values()) - 1
    # The first trials that reuse work are run twice.
    assert (folder / "host.log").read_text().count("Arch 0:") == ran + CHECKED


def test_two_workers_agree_with_one_process(demo, local):
    config, folder = configuration(demo, "workers", workers=2)
    demo.hooked(config, env=ONE_THREAD)
    assert agree(rows(folder), rows(local[1]))


def test_a_killed_worker_is_replaced(demo, local):
    config, folder = configuration(demo, "killed", workers=2)
    process = start(demo, config)
    wait_for_rows(folder, 4, process)
    os.kill(int(children_of(process)[0]), signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    assert "is run again" in out
    assert agree(rows(folder), rows(local[1]))


def start(demo, config):
    return subprocess.Popen(
        [sys.executable, "-m", "rfquant_hooks", str(demo.main), str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=demo.folder.parent,
        env={**os.environ, **ONE_THREAD},
    )


def wait_for_rows(folder, number, process):
    while process.poll() is None:
        if (folder / TRIALS).exists() and len(rows(folder)) > number:
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate()[0])


def test_a_killed_campaign_goes_on_where_it_stopped(demo, local):
    config, folder = configuration(demo, "resumed")
    process = start(demo, config)
    wait_for_rows(folder, 5, process)
    process.kill()
    process.wait()
    assert len(rows(folder)) < len(rows(local[1]))
    assert "trials already" in demo.hooked(config, env=ONE_THREAD).stdout
    assert agree(rows(folder), rows(local[1]))
    assert (folder / "summary.json").read_text() == (local[1] / "summary.json").read_text()


@pytest.mark.parametrize(
    ("number", "code", "workers"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)]
)
def test_a_campaign_that_is_told_to_stop_says_how_it_goes_on(demo, local, number, code, workers):
    config, folder = configuration(demo, f"stopped-{workers}-{code}", workers=workers)
    process = start(demo, config)
    wait_for_rows(folder, 3, process)
    children = children_of(process)
    assert len(children) == (workers if workers > 1 else 0)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == code, out
    assert "Traceback" not in out and "KeyboardInterrupt" not in out
    safe = len(rows(folder)) - 1
    told = f"seu-plugin: stopped; {safe} trials are safe in {folder}: the same command goes on"
    assert out.splitlines()[-1] == f"{told} from there"
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    demo.hooked(config, env=ONE_THREAD)
    assert agree(rows(folder), rows(local[1]))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_campaign_that_is_stopped_in_its_golden_run_says_so(demo, number, code):
    config, folder = configuration(demo, f"early-{code}")
    process = start(demo, config)
    for line in process.stdout:
        if "golden run" in line:
            break
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out.strip().splitlines()[-1]) == (code, TOO_EARLY), out
    assert "Traceback" not in out and not (folder / TRIALS).exists()


def test_a_worker_that_does_not_answer_is_given_up(demo, local):
    timeout = {"workers": 2, "worker_timeout": "3 s"}
    config, folder = configuration(demo, "hung", **timeout)
    process = start(demo, config)
    wait_for_rows(folder, 4, process)
    stopped = children_of(process)[0]
    os.kill(int(stopped), signal.SIGSTOP)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert f"worker process {stopped} gave no answer for 3 s and was given up" in out
    assert agree(rows(folder), rows(local[1]))


def children_of(process):
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    return found.stdout.split()


def test_shards_from_the_command_line(demo, local):
    config, _ = configuration(demo, "shards")
    folders = [demo.folder.parent / "results" / f"shard-{i}" for i in range(2)]
    for i, folder in enumerate(folders):
        options = ["--shard", f"{i}/2", "--output", folder]
        demo.call("-m", "rfquant_hooks", *options, demo.main, config, env=ONE_THREAD)
    report = demo.folder.parent / "results" / "merged"
    seu(demo, "report", *folders, "-o", report)
    assert (report / "summary.json").read_text() == (local[1] / "summary.json").read_text()


def seu(demo, *arguments, check=True):
    code = "from seu_plugin.commands import main; main()"
    return demo.call("-c", code, *arguments, check=check, env=ONE_THREAD)


def test_a_trial_is_replayed(demo, local):
    faults = demo.folder.parent / "faults.csv"
    done = seu(demo, "replay", "--yes", local[1], "0.01:3", "--export-faults", faults)
    assert "identical" in done.stdout and "NOT" not in done.stdout
    then = rows(local[1])["0.01:3"]
    assert f"{faults}: {then.upsets:,} faults" in done.stdout
    section = {"mode": "fault_list", "faults": str(faults), "bit_width_config": WIDTHS}
    listed = demo.hooked(demo.yaml("listed", section), env=ONE_THREAD).stdout
    assert f"faulted run ({then.upsets:,} listed upsets)" in listed
    assert tuple(ast.literal_eval(listed.splitlines()[-1])) == then.metrics
    done = seu(demo, "replay", local[1], "0.01:3", check=False)
    assert done.returncode == 2 and "--yes runs it without asking" in done.stderr
    done = seu(demo, "replay", "-y", local[1], "0.01:33", check=False)
    assert done.returncode == 2 and "has no trial '0.01:33'" in done.stderr


def test_a_table_is_exported(demo, local):
    pandas = pytest.importorskip("pandas", reason="needs the extra: export")
    path = demo.folder.parent / "trials.csv"
    seu(demo, "export", local[1], "-o", path)
    table = pandas.read_csv(path)
    assert list(table.id) == list(rows(local[1]))


def test_options_without_a_campaign_are_an_error(demo):
    config = demo.yaml("plain-section", {"ber": 1e-3})
    done = demo.call("-m", "rfquant_hooks", "--shard", "0/2", demo.main, config, check=False)
    assert done.returncode == 2
    assert "--shard: is for a campaign" in done.stderr


def test_another_section_is_refused_before_the_golden_run(demo, local):
    config, _ = configuration(demo, "local")
    text = config.read_text().replace("seed: 42", "seed: 43")
    config.write_text(text)
    done = demo.traced(config)
    assert (done.returncode, "FORWARD" in done.stderr) == (2, False)
    assert "holds another campaign; it differs in seed" in done.stderr


def test_ray_agrees_although_a_worker_is_killed(demo, local):
    pytest.importorskip("ray", reason="needs the extra: ray")
    config, folder = configuration(demo, "ray", engine="ray", workers=2)
    process = start(demo, config)
    wait_for_rows(folder, 4, process)
    # An actor's process, with the host that it holds.
    found = subprocess.run(["pgrep", "-f", "ray::.*Actor"], capture_output=True, text=True).stdout
    os.kill(int(found.split()[0]), signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    assert "is run again" in out
    assert agree(rows(folder), rows(local[1]))
