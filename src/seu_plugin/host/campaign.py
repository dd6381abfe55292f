"""A campaign over a host's own ``validate``."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import sys
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Optional, TextIO

import torch

from rfquant_hooks.contract import Phase, PhaseOutcome, restart_command, setting

from ..analysis.manifest import MANIFEST, check_same_campaign, read_manifest
from ..analysis.results import check_folder
from ..analysis.summary import Summary
from ..campaign.cores import Shares, available, shared_out, threads_asked
from ..campaign.correctness import Correctness, Labelled
from ..campaign.draws import Draws
from ..campaign.evaluation import Evaluation
from ..campaign.host_data import HostData
from ..campaign.pool import Worker, WorkerPool
from ..campaign.repeats import check_repeats
from ..campaign.reused import reuse_of, store_in
from ..campaign.run import CampaignRun, section_identity
from ..campaign.sampling import plain_because
from ..campaign.stopping import TOO_EARLY, stoppable
from ..campaign.worker import (
    Hello,
    HostProcess,
    can_start_workers,
    check_hello,
    environment_of,
    own_pipe,
    parts,
    serve,
)
from ..errors import ConfigError
from ..fields import several
from ..files import make_folder, open_to_append
from ..injection.devices import on_every_rank, rank
from ..quantizers.bit_widths import check_widths_used
from ..report.tables import closing_lines, print_tables
from ..settings.section import FaultInjectionSection

Run = Callable[[], PhaseOutcome]


class HostCampaign:
    """Runs the campaign of a section whenever the host calls ``validate``.

    The first call writes to ``campaign.output``, the n-th to ``output-n``. ``name`` of the host is
    for the manifest; ``correctness`` knows of single images (None: labels of the host's loader).
    Raises ConfigError at once for an output that holds another campaign.
    """

    def __init__(
        self,
        section: FaultInjectionSection,
        config: Any,
        say: Callable[[str], None],
        name: str = "RFQuant",
        correctness: Optional[Correctness] = None,
    ) -> None:
        assert section.campaign is not None
        self.campaign = section.campaign
        self._say, self._calls = say, 0
        self._name, self._correctness = name, correctness
        self._cwd = str(Path.cwd())  # the host may go elsewhere before it evaluates
        worker = own_pipe()
        self._pipe = None if worker is None else worker[0]
        seed = section.seed if worker is None else worker[1]
        self.section = section.model_copy(update={"seed": seed})
        self._evaluation: Optional[Evaluation] = None
        self._running: Optional[CampaignRun] = None
        self._shares = self._shared_out(config)
        if self.parallel and setting(config, "search", False):
            raise ConfigError(
                "workers: cannot be combined with search: true, which "
                "every worker would repeat; evaluate the widths it finds in a run of its own"
            )
        if self.campaign.engine == "ray" and importlib.util.find_spec("ray") is None:
            raise ConfigError("engine: ray is not installed: pip install 'seu-plugin[ray]'")
        if self._pipe is None:
            check_output(self.campaign.folder, section)
            if self._shares.line is not None:
                self._say(self._shares.line)

    def _shared_out(self, config: Any) -> Shares:
        """Raises ConfigError for more workers and threads than cores."""
        plan = self.campaign
        if plan.engine == "ray":  # on other machines
            workers = plan.workers or 1
            return Shares(workers, plan.threads or max(1, (os.cpu_count() or 1) // workers))
        alone = self._pipe is not None or setting(config, "search", False)
        gpus = 0
        if plan.workers is None and not alone and can_start_workers():
            gpus = torch.cuda.device_count()
        if (plan.workers or gpus) <= 1 or self._pipe is not None:
            return Shares(plan.workers or 1, torch.get_num_threads())
        threads = threads_asked(plan, os.environ)
        shares = shared_out(plan.workers, threads, available(), gpus)
        if shares.workers > 1:
            return shares
        return shares._replace(threads=torch.get_num_threads())  # this process has its own

    @property
    def parallel(self) -> bool:
        return self._shares.workers > 1 or self.campaign.engine == "ray"

    @property
    def threads(self) -> int:
        """CPU threads of each process that runs trials."""
        if not self.parallel:
            return torch.get_num_threads()
        return self._shares.threads

    def validate(self, phase: Phase, run: Run) -> PhaseOutcome:
        """The whole campaign; the host receives what the golden run gave it."""
        self._running = None
        with stoppable(self._stopped):
            return self._validate(phase, run)

    def _stopped(self) -> str:
        return TOO_EARLY if self._running is None else self._running.stopped()

    def _validate(self, phase: Phase, run: Run) -> PhaseOutcome:
        self._calls += 1
        suffix = f"-{self._calls}" if self._calls > 1 else ""
        folder = self.campaign.folder
        folder = folder.with_name(folder.name + suffix)
        log = folder / "host.log" if rank() == 0 and self._pipe is None else Path(os.devnull)

        def run_quietly() -> PhaseOutcome:
            if evaluation.golden_outcome is None:
                return run()
            with host_silenced(log):
                return run()

        settings = self.section.model_copy(update={"seed": self._seed(folder)})
        draws = Draws(plain_because(settings, self.campaign), settings.itinerary)
        runs_trials = not self.parallel or self._pipe is not None
        reuse = reuse_of(self.campaign, runs_trials, self._shares.workers)
        store = None if reuse is None else partial(store_in, folder, reuse)
        data = HostData(phase.data, runs_trials, store)
        images = self._correctness
        if images is None and phase.data is not None and phase.read_labels is not None:
            images = Labelled(data, phase.read_labels)
        kept = self.campaign.images_kept if self._pipe is None else None
        asked = (self.campaign.outcomes, images, reuse, data, draws, kept)
        self._evaluation = evaluation = Evaluation(phase.model, run_quietly, settings, *asked)
        try:
            with evaluation:
                self._say("golden run (no upsets):")
                golden = evaluation.golden()
                if self._correctness is not None and self._pipe is None:
                    check_repeats(evaluation, folder)
                if phase.bit_widths is not None:
                    check_widths_used(phase.model, phase.bit_widths, evaluation.widths)
                about = {
                    "command": restart_command(),
                    "cwd": self._cwd,
                    "host": self._name,
                    "threads": self.threads,
                    **self.section.about,
                }
                bers = self.section.grid
                campaign = CampaignRun(evaluation, self.campaign, bers, folder, self._say, about)
                self._running = campaign
                if self._pipe is not None:
                    serve(self._pipe, evaluation, Hello(golden, campaign.identity()))
                    sys.exit(0)
                self._begin(golden.metrics, bers, evaluation.seed)
                with ExitStack() as stack:
                    engine = None
                    if self.parallel:
                        check = _Check(golden, campaign.identity())
                        pool = self._pool(check, folder, evaluation.seed, stack)
                        engine = stack.enter_context(pool)
                    summary = campaign.run(golden, engine)
        finally:
            self._evaluation = None
        if summary is not None:
            print_tables(summary)
            for line in closing_lines(summary, folder):
                self._say(line)
            write_scalars(phase.arguments.get("monitors"), summary)
        assert evaluation.golden_outcome is not None
        return evaluation.golden_outcome

    def calibrate(self, run: Run) -> Optional[PhaseOutcome]:
        """BatchNorm calibration inside a campaign; None: as the host does it."""
        evaluation = self._evaluation
        if evaluation is None or self.section.bn_calibration == "faulty":
            return None
        return evaluation.calibrate(run)

    def _begin(self, golden: Any, bers: Any, seed: int) -> None:
        self._say(f"golden accuracy: {', '.join(f'{metric:.2f} %' for metric in golden)}")
        at = f"at each BER of {', '.join(f'{ber:g}' for ber in bers)}"
        if self.section.mode == "exact_count":
            at = f"of {several(self.section.upsets, 'upset')} each"
        self._say(f"campaign: {self.campaign.trials} trials {at} (seed {seed})")

    def _seed(self, folder: Path) -> Optional[int]:
        """The section's, or of the campaign that goes on in ``folder``, or None: to be drawn."""
        seed = self.section.seed
        if seed is None and rank() == 0 and (folder / MANIFEST).exists():
            seed = read_manifest(folder).get("seed")
        return on_every_rank(seed)[0]

    def _pool(self, check: _Check, folder: Path, seed: int, stack: ExitStack) -> WorkerPool:
        command, number = parts(restart_command()), self._shares.workers
        cluster: Any = None
        if self.campaign.engine == "ray":
            from ..campaign.ray_workers import RayCluster

            cluster = RayCluster(self.campaign.ray)
            stack.callback(cluster.close)

        def start(index: int) -> Worker:
            log = (folder / f"worker-{index}.log").resolve()
            gpus = 0 if cluster is not None else torch.cuda.device_count()
            environment = environment_of(index, self.threads, gpus)
            make = HostProcess if cluster is None else cluster.worker
            patience = self.campaign.patience
            worker: Worker = make(command, self._cwd, environment, log, seed, patience)
            return worker

        return WorkerPool(start, number, check, self._say)


class _Check:
    """Whether a worker evaluates what this process does."""

    def __init__(self, golden: Any, identity: Mapping[str, Any]) -> None:
        self._golden, self._identity = golden, identity

    def __call__(self, hello: Hello) -> None:
        check_hello(hello, self._golden, self._identity)


@contextmanager
def host_silenced(log: Path) -> Iterator[None]:
    """What the host prints goes to ``log``, and its loggers say nothing below a warning."""
    level = logging.root.manager.disable
    logging.disable(max(level, logging.INFO))
    try:
        with _opened(log) as file, redirect_stdout(file):
            yield
    finally:
        logging.disable(level)


def _opened(log: Path) -> TextIO:
    if log == Path(os.devnull):
        return log.open("a")
    make_folder(log.parent)
    try:
        return os.fdopen(open_to_append(log), "a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"output: cannot write to {log} ({error.strerror})") from error


def check_output(folder: Path, section: FaultInjectionSection) -> None:
    """Raise ConfigError now, not after the golden run, if ``folder`` holds another campaign, cannot
    be written to or cannot be read."""
    try:
        check_folder(folder)
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith("output") else f"output: {text}") from error
    if (folder / MANIFEST).exists():
        assert section.campaign is not None
        identity: Any = {"section": section_identity(section, section.campaign, section.itinerary)}
        if section.seed is not None:
            identity["seed"] = section.seed
        shard = section.campaign.shard or "0/1"
        try:
            there = read_manifest(folder)
        except ConfigError as error:
            raise ConfigError(f"output: {error}") from error
        check_same_campaign(there, identity, folder, shard)


def write_scalars(monitors: Any, summary: Summary) -> None:
    """Tell the host's TensorBoard monitor, if it has one: top-1 against log10(BER) * 100."""
    for monitor in monitors if isinstance(monitors, (list, tuple)) else ():
        writer: Any = getattr(monitor, "writer", None)
        if not hasattr(writer, "add_scalar"):
            continue
        for row in summary.bers:
            step = round(100 * math.log10(row.ber))
            for name, value in (("mean", row.mean), ("worst", row.worst), ("drop", row.drop)):
                writer.add_scalar(f"seu/top1_{name}_{row.architecture}", value, step)
