"""One trial of a finished campaign, run again: it must give the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import List, NamedTuple

from ..analysis.manifest import read_manifest
from ..analysis.rows import TRIALS, read_rows
from ..analysis.trials import TrialResult, same
from ..errors import ConfigError, InjectionError, did_you_mean
from ..faults.fault_list import Fault
from .worker import HostProcess, WorkerLost, check_hello, environment_of


class Replay(NamedTuple):
    """What a trial gave in the campaign, and what it gives now."""

    then: TrialResult
    now: TrialResult
    faults: List[Fault]

    @property
    def agrees(self) -> bool:
        """In all but the time it took."""
        return same(self.then, self.now)


def _as_written(trial: str) -> str:
    """1e-3:7 as trials.jsonl has it, 0.001:7."""
    ber, colon, number = trial.partition(":")
    try:
        return f"{float(ber)!r}{colon}{number}"
    except ValueError:
        return trial


def replay(folder: Path, trial: str, faults: bool = False) -> Replay:
    """Start the host of the campaign in ``folder`` again and run one trial, by its id. ``faults``:
    ask for the bits of weights that were read wrong in it, too.

    Raises ConfigError for an unknown id, or if the campaign does not name a command;
    InjectionError if the host evaluates another model now, or cannot be started.
    """
    manifest = read_manifest(folder)
    rows = {result.trial.id: result for result in read_rows(folder / TRIALS)[0]}
    golden = rows.pop("golden", None)
    then = rows.get(trial) or rows.get(_as_written(trial))
    if then is None or golden is None:
        raise ConfigError(
            f"{folder / TRIALS}: has no trial {trial!r}{did_you_mean(trial, rows)} (an id is, for "
            "example, 0.001:7)"
        )
    command = manifest.get("command")
    if not command:
        raise ConfigError(
            f"{folder}: was made from Python, so there is no host to start: "
            + (
                "run that trial with FaultInjector(model, ber=..., seed=..., trial=...)"
                if then.struck is None
                else "run the campaign again into another output"
            )
        )
    with tempfile.TemporaryDirectory(prefix="seu-replay-") as scratch:
        log = Path(scratch) / "host.log"
        threads = environment_of(0, int(manifest["threads"]))
        worker = HostProcess(command, manifest["cwd"], threads, log, int(manifest["seed"]))
        try:
            check_hello(worker.hello(), golden, manifest["identity"])
            now = worker.run(then.trial)
            return Replay(then, now, worker.faults() if faults and now.ran else [])
        except WorkerLost as error:
            told = log.read_text(errors="replace").splitlines()[-5:]
            raise InjectionError(f"the host could not be run again ({error}):", *told) from error
        finally:
            worker.close()
