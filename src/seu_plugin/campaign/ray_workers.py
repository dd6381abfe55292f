"""Workers as Ray actors: each holds the resources it was promised, on any machine of a cluster,
and starts the host there as a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..analysis.trials import Trial, TrialResult
from ..errors import ConfigError
from ..settings.campaign import RayResources
from .worker import Hello, HostProcess, WorkerLost


class RayCluster:
    """A connection to a cluster, or a cluster on this machine for as long as this lives.

    The project, its Python environment and the host's folder must be found under the same paths
    on every machine. Raises ConfigError if Ray is not installed.
    """

    def __init__(self, resources: RayResources) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "campaign.engine: ray is not installed: pip install 'seu-plugin[ray]'"
            ) from error
        self._ray, self._resources = ray, resources
        self._ours = not ray.is_initialized()
        if self._ours:
            # A cluster of this machine's own is for this machine alone.
            mine = resources.address is None and "RAY_ADDRESS" not in os.environ
            local: Dict[str, Any] = {"_node_ip_address": "127.0.0.1"} if mine else {}
            local.update(log_to_driver=False, include_dashboard=False)
            ray.init(address=resources.address, **local)
        self._actor = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus)(_Actor)

    def worker(
        self,
        command: List[str],
        folder: str,
        environment: Mapping[str, str],
        log: Path,
        seed: int,
        patience: Optional[float] = None,
    ) -> RayWorker:
        arguments = (command, folder, dict(environment), log, seed, patience)
        return RayWorker(self._ray, self._actor, arguments)

    def close(self) -> None:
        if self._ours:
            self._ray.shutdown()


class RayWorker:
    """One actor, as a worker of the pool."""

    def __init__(self, ray: Any, actor: Any, arguments: Tuple[Any, ...]) -> None:
        self._ray = ray
        self.actor = actor.remote(*arguments)

    def hello(self) -> Hello:
        return self._get(self.actor.hello.remote())  # type: ignore[no-any-return]

    def run(self, trial: Trial) -> TrialResult:
        return self._get(self.actor.run.remote(trial))  # type: ignore[no-any-return]

    def close(self) -> None:
        self._ray.kill(self.actor)  # closes the pipe, at which the host's process ends

    kill = close

    def _get(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:  # raised inside the actor
            raise error.cause from error
        except errors.RayError as error:  # the actor, or its machine, is gone
            raise WorkerLost(f"Ray worker lost ({type(error).__name__})") from error


class _Actor:
    """Runs where Ray puts it."""

    def __init__(
        self,
        command: List[str],
        folder: str,
        environment: Dict[str, str],
        log: Path,
        seed: int,
        patience: Optional[float],
    ) -> None:
        self._process = HostProcess(command, folder, environment, log, seed, patience)

    def hello(self) -> Hello:
        return self._process.hello()

    def run(self, trial: Trial) -> TrialResult:
        return self._process.run(trial)
