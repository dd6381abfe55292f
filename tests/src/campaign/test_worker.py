"""A worker's process and its pipe, with made-up hosts."""

import sys

import pytest

from seu_plugin.analysis.trials import Trial, TrialResult
from seu_plugin.campaign.worker import (
    PIPE,
    Hello,
    HostProcess,
    WorkerLost,
    check_hello,
    environment_of,
    own_pipe,
    parts,
)
from seu_plugin.errors import ConfigError, InjectionError

GOLDEN = TrialResult(Trial(0), (98.0,))
HELLO = Hello(GOLDEN, {"seed": 7, "model": "a"})
#: A host that answers trial n with the accuracy n, ends at trial 2 and complains at trial 3.
HOST = """
import os, sys
from seu_plugin.errors import InjectionError
from seu_plugin.analysis.trials import Trial, TrialResult
from seu_plugin.campaign.worker import Hello, own_pipe
pipe, seed = own_pipe()
assert own_pipe() is None
print("host started")
pipe.send(Hello(TrialResult(Trial(0), (98.0,)), {"seed": seed}))
while True:
    try:
        trial = pipe.recv()
    except EOFError:
        sys.exit(0)
    if trial.number == 2:
        os._exit(5)
    if trial.number == 3:
        pipe.send(InjectionError("did not inject"))
    else:
        pipe.send(TrialResult(trial, (float(trial.number),)))
"""


@pytest.fixture
def start(tmp_path):
    started = []

    def make(code=HOST):
        command = [sys.executable, "-c", code]
        started.append(HostProcess(command, str(tmp_path), {}, tmp_path / "worker.log", 7))
        return started[-1]

    yield make
    for worker in started:
        worker.close()


def test_a_worker_says_hello_and_runs_trials(start, tmp_path):
    worker = start()
    assert worker.hello().identity == {"seed": 7}
    assert worker.run(Trial(1, 0.1)).metrics == (1.0,)
    worker.close()
    assert worker.process.returncode == 0
    assert (tmp_path / "worker.log").read_text() == "host started\n"


def test_a_worker_that_ends_is_lost(start):
    worker = start()
    worker.hello()
    with pytest.raises(WorkerLost, match=r"ended with exit code 5: see .*worker\.log"):
        worker.run(Trial(2, 0.1))
    with pytest.raises(WorkerLost):
        worker.run(Trial(1, 0.1))


def test_a_host_that_does_not_start_is_lost(start):
    with pytest.raises(WorkerLost):
        start("raise SystemExit(3)").hello()


def test_a_mistake_of_the_worker_is_raised_here(start):
    worker = start()
    worker.hello()
    with pytest.raises(InjectionError, match="did not inject"):
        worker.run(Trial(3, 0.1))
    assert worker.run(Trial(4, 0.1)).metrics == (4.0,)


def test_other_processes_are_no_workers(monkeypatch):
    monkeypatch.delenv(PIPE, raising=False)
    assert own_pipe() is None


def test_a_worker_has_threads_of_its_own(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert environment_of(0, 3) == {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3"}


def test_a_worker_of_one_rank_has_a_process_group_of_its_own(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    found = environment_of(0, 1)
    assert found["WORLD_SIZE"] == "1" and found["MASTER_PORT"] != "29500"


def test_several_ranks_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="cannot be combined with several ranks"):
        environment_of(0, 1)


@pytest.mark.parametrize("visible,expected", [(None, ["0", "1", "0"]), ("4,6", ["4", "6", "4"])])
def test_workers_share_out_the_gpus(monkeypatch, visible, expected):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = [environment_of(i, 1, gpus=2)["CUDA_VISIBLE_DEVICES"] for i in range(3)]
    assert found == expected


def test_a_worker_that_evaluates_something_else_is_refused():
    check_hello(HELLO, GOLDEN, {"seed": 7, "model": "a"})
    with pytest.raises(InjectionError, match="a worker has another model:"):
        check_hello(HELLO, GOLDEN, {"seed": 7, "model": "b"})
    with pytest.raises(InjectionError, match=r"set campaign\.threads"):
        check_hello(HELLO, TrialResult(Trial(0), (97.0,)), {"seed": 7, "model": "a"})


def test_an_unknown_command_is_an_error():
    assert parts(["python"]) == ["python"]
    with pytest.raises(ConfigError, match="cannot tell the command"):
        parts(None)


@pytest.mark.parametrize(
    ("command", "folder"), [(["/moved/bin/python", "x.py"], "/"), ([sys.executable], "/moved")]
)
def test_a_host_that_was_moved_is_one_line(tmp_path, command, folder):
    with pytest.raises(InjectionError, match=r"cannot start the host again in .* moved") as error:
        HostProcess(command, folder, {}, tmp_path / "log", 1)
    assert len(error.value.lines) == 1


def test_a_log_is_not_written_through_a_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / "log").symlink_to(elsewhere)
    with pytest.raises(InjectionError, match="cannot start the host again"):
        HostProcess([sys.executable, "-c", "pass"], "/", {}, tmp_path / "log", 1)
    assert elsewhere.read_text() == "mine"
