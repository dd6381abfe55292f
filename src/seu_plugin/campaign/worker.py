"""Workers: processes that start the host once, with the same command, and then run trials.

A worker is told by an environment variable which end of a pipe is its own. When the host calls
``validate``, it makes the golden run, says hello, and runs the trials that it is sent until the
pipe closes.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from rfquant_hooks.contract import PluginError, restart_command

from ..analysis.trials import Trial, TrialResult
from ..errors import ConfigError, InjectionError, SeuWarning
from ..faults.fault_list import Fault
from ..files import make_folder, open_to_append
from .evaluation import Evaluation

#: File descriptor of a worker's end of its pipe, a colon, and the seed of the campaign.
PIPE = "SEU_PLUGIN_WORKER_PIPE"
#: Seconds after which a worker is given up that does not answer: it is to start the host and make
#: its golden run, or to run a trial, which takes about as long as that.
START, LEAST, MANY = 3600.0, 300.0, 20.0
#: Asks for the upsets of the trial that was run last, in place of a trial.
FAULTS = "faults"
_STARTED_BY_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT")


class WorkerLost(Exception):
    """The process of a worker is gone; its trial is to be run by another."""


@dataclass(frozen=True)
class Hello:
    """What a worker says first: that it evaluates the same as everybody else."""

    golden: TrialResult
    identity: Mapping[str, Any]


class HostProcess:
    """One worker on this machine. Raises WorkerLost if it dies, whatever it was doing, or if it
    takes longer for a trial than ``patience`` seconds (None: many times its golden run)."""

    def __init__(
        self,
        command: Sequence[str],
        folder: str,
        environment: Mapping[str, str],
        log: Path,
        seed: int,
        patience: Optional[float] = None,
    ) -> None:
        self._log, self._patience = log, patience
        self._pipe, theirs = Pipe()
        make_folder(log.parent)
        try:
            with os.fdopen(open_to_append(log), "ab") as output:
                self.process = subprocess.Popen(
                    list(command),
                    cwd=folder,
                    env={**os.environ, **environment, PIPE: f"{theirs.fileno()}:{seed}"},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the process that started it
                )
        except (OSError, ValueError) as error:
            self._pipe.close()
            raise InjectionError(
                f"cannot start the host again in {folder} ({error}): was it, or its Python "
                "environment, moved?"
            ) from error
        finally:
            theirs.close()

    def hello(self) -> Hello:
        """Wait for the host to start and to make its golden run."""
        answer = self._receive(max(START, self._patience or 0.0))
        assert isinstance(answer, Hello)
        self._patience = self._patience or max(LEAST, MANY * answer.golden.seconds)
        return answer

    def run(self, trial: Trial) -> TrialResult:
        answer = self._asked(trial)
        assert isinstance(answer, TrialResult)
        return answer

    def faults(self) -> List[Fault]:
        """The upsets of the trial that it ran last."""
        answer = self._asked(FAULTS)
        assert isinstance(answer, list)
        return answer

    def _asked(self, what: Union[Trial, str]) -> Union[Hello, TrialResult, List[Fault]]:
        try:
            self._pipe.send(what)
        except OSError as error:
            raise self._lost() from error
        return self._receive(self._patience or LEAST)

    def close(self) -> None:
        """Let the process end; it is killed after ten seconds, and left behind after fifteen."""
        self._pipe.close()
        try:
            self.process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            self.kill()
            with suppress(subprocess.TimeoutExpired):  # in the kernel, in a file system that hangs
                self.process.wait(timeout=5.0)

    def kill(self) -> None:
        """End the process now; who waits for an answer is told that it is lost."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # with the loaders that it has started

    def _receive(self, patience: float) -> Union[Hello, TrialResult, List[Fault]]:
        deadline = time.monotonic() + patience
        try:
            while not self._pipe.poll(1.0):
                if time.monotonic() > deadline:
                    self.kill()
                    raise WorkerLost(
                        f"worker process {self.process.pid} gave no answer for {patience:.0f} s "
                        f"and was given up: see {self._log}"
                    )
                # A child of the worker may hold its end of the pipe open.
                if self.process.poll() is not None and not self._pipe.poll():
                    raise EOFError
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if isinstance(answer, PluginError):
            raise answer
        return answer  # type: ignore[no-any-return]

    def _lost(self) -> WorkerLost:
        try:  # the pipe closes a moment before the process has ended
            state = f"ended with exit code {self.process.wait(timeout=2.0)}"
        except subprocess.TimeoutExpired:
            state = "is unreachable"
        return WorkerLost(f"worker process {self.process.pid} {state}: see {self._log}")


def own_pipe() -> Optional[Tuple[Connection, int]]:
    """This process's end of the pipe and the campaign's seed if it is a worker, once: its
    children are none."""
    told = os.environ.pop(PIPE, None)
    if told is None:
        return None
    descriptor, _, seed = told.partition(":")
    return Connection(int(descriptor)), int(seed)


def serve(pipe: Connection, evaluation: Evaluation, hello: Hello) -> None:
    """Run trials until the pipe closes. A mistake is told to the other end."""
    try:
        pipe.send(hello)
        while True:
            asked = pipe.recv()
            try:
                answer: Union[TrialResult, List[Fault], PluginError] = (
                    evaluation.faults() if asked == FAULTS else evaluation.trial(asked)
                )
            except PluginError as error:
                answer = error
            pipe.send(answer)
    except (EOFError, OSError):  # nobody wants more
        pipe.close()


def environment_of(worker: int, threads: int, gpus: int = 0) -> Dict[str, str]:
    """What differs in the environment of a worker: its threads, its GPU of several, and a
    process group of its own where the host was started by torchrun."""
    changed = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    if any(name in os.environ for name in _STARTED_BY_TORCHRUN):
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError(
                "campaign.workers: cannot be combined with several ranks, which run each trial "
                "together; use one of the two"
            )
        changed.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_PORT=str(_free_port()))
    if gpus > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        ids = visible if visible != [""] else [str(i) for i in range(gpus)]
        changed["CUDA_VISIBLE_DEVICES"] = ids[worker % len(ids)]
    return changed


def can_start_workers() -> bool:
    """Whether the command of this process is known, and is not that of several ranks."""
    return restart_command() is not None and int(os.environ.get("WORLD_SIZE", "1")) == 1


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def check_hello(hello: Hello, golden: TrialResult, identity: Mapping[str, Any]) -> None:
    """Raise InjectionError if a worker evaluates something else than the process that asks."""
    drawn = [one.get("section", {}).get("sampling") for one in (hello.identity, identity)]
    if drawn[0] != drawn[1]:
        raise InjectionError(
            f"the trials were drawn {'plainly' if drawn[1] is None else 'conditionally'}, and the "
            "host would draw them otherwise: campaign.sampling: "
            f"{'plain' if drawn[1] is None else drawn[1]} in its YAML does as they did"
        )
    if dict(hello.identity) != dict(identity):
        different = [k for k in identity if hello.identity.get(k) != identity[k]]
        raise InjectionError(
            f"a worker has another {', '.join(different)}: the configuration or the checkpoint "
            "changed while the campaign started"
        )
    if hello.golden.metrics != golden.metrics:
        raise InjectionError(
            f"a worker's golden run gives {list(hello.golden.metrics)}, this process's "
            f"{list(golden.metrics)}: set campaign.threads and OMP_NUM_THREADS to the same number"
        )
    _warn_of_digests(hello.golden, golden)


def _warn_of_digests(one: TrialResult, other: TrialResult) -> None:
    if None not in (one.digest, other.digest) and one.digest != other.digest:
        warnings.warn(
            "a worker's golden outputs differ bit for bit from this process's, though the accuracy "
            "does not: other data, or another number of threads",
            SeuWarning,
            stacklevel=3,
        )


def without_option(command: Sequence[str], option: str) -> List[str]:
    """``command`` without ``option VALUE`` and ``option=VALUE``."""
    kept: List[str] = []
    skip = False
    for part in command:
        if skip or part.startswith(f"{option}="):
            skip = False
        elif part == option:
            skip = True
        else:
            kept.append(part)
    return kept


def parts(command: Optional[List[str]]) -> List[str]:
    """The command that starts the host again. Raises ConfigError if it is not known."""
    if command is None:
        raise ConfigError(
            "campaign.workers: cannot tell the command that started this process (Python 3.10 "
            "can); use one worker, or shards"
        )
    return command
