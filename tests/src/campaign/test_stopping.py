"""What a user who stops a campaign is told, and how the process ends."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import toy
from rfquant_hooks import Stopped
from seu_plugin import Campaign
from seu_plugin.analysis.results import ResultStore
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.campaign.stopping import TOO_EARLY, stoppable

TESTS = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys, time
import toy
from seu_plugin import Campaign

runs = 0
def evaluate():
    global runs
    runs += 1
    if runs > {runs}:
        print("waiting", flush=True)
        time.sleep(30)
    model(toy.batch(4))
    return 90.0

model = toy.net()
Campaign(model, evaluate, ber=[1e-1], trials=4, seed=1, max_drop=None, output={output!r}).run()
"""


def stopped(tmp_path, runs, number):
    output = str(tmp_path / "out")
    script = tmp_path / "tiny.py"
    script.write_text(textwrap.dedent(SCRIPT).format(runs=runs, output=output))
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line == "waiting\n":
            break
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    return process.returncode, told.strip()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_script_that_is_stopped_in_the_golden_run_says_one_line(tmp_path, number, code):
    assert stopped(tmp_path, 0, number) == (code, TOO_EARLY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_script_that_is_stopped_in_a_trial_says_what_is_safe(tmp_path, number, code):
    ended, told = stopped(tmp_path, 4, number)  # the golden run is done twice
    out = tmp_path / "out"
    line = f"seu-plugin: stopped; 2 trials are safe in {out}: the same command goes on from there"
    assert ended == code
    # Lines before it are warnings of torch's, if any.
    assert told.splitlines()[-1] == line and "Traceback" not in told


def test_a_row_that_was_written_when_the_signal_came_is_safe(tmp_path, monkeypatch):
    take = ResultStore._take

    def interrupted(store, result):
        if result.trial.number == 2:
            raise KeyboardInterrupt
        take(store, result)

    monkeypatch.setattr(ResultStore, "_take", interrupted)
    model, settings = toy.net(), {"ber": [1e-1], "trials": 4, "seed": 1, "max_drop": None}

    def evaluate():
        model(toy.batch(4))
        return 90.0

    with pytest.raises(Stopped, match="stopped; 3 trials are safe"):
        Campaign(model, evaluate, output=str(tmp_path), **settings).run()
    assert len(read_rows(tmp_path / TRIALS)[0]) == 1 + 3


def test_the_innermost_message_is_told():
    with pytest.raises(Stopped, match="inner"), stoppable(lambda: "outer"):
        with stoppable(lambda: "inner"):
            raise KeyboardInterrupt


def test_sigterm_is_given_back():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with pytest.raises(Stopped) as stop, stoppable(lambda: "told"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.exit_code == 143
    assert signal.signal(signal.SIGTERM, before) is signal.SIG_DFL
