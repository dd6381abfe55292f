"""The plugin at work: hook implementations for a host whose configuration has the section."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from rfquant_hooks.contract import BitWidths, Phase, PhaseOutcome, hookimpl, setting

from ..campaign.correctness import Correctness
from ..campaign.run_state import host_rng_restored
from ..errors import InjectionError, SeuError
from ..faults.fault_list import read_faults
from ..injection.devices import check_device, check_ranks_agree, rank
from ..injection.fit import check_listed, check_memory
from ..injection.injector import FaultInjector
from ..injection.table import expected, nan_inf
from ..memory.protection import check_rules
from ..quantizers.bit_widths import (
    apply_bit_widths,
    check_bit_widths,
    check_widths_used,
    read_bit_widths,
)
from ..quantizers.sites import check_grids, select_sites
from ..report.tables import accuracy_lines, calibration_lines
from ..settings.section import SECTION, FaultInjectionSection
from .campaign import HostCampaign
from .check_config import check_checkpoint, check_other_injectors, find_existing, find_file

Run = Callable[[], PhaseOutcome]
_CALIBRATED = {"clean": "with clean weights", "faulty": "under the same upsets, which hides damage"}

#: Keys to play with, where they are not those of a rate.
_TO_CHANGE = {"exact_count": "upsets, seed, layers, bits", "fault_list": "faults"}


class Runtime:
    """Brackets the host's phases with the injector. ``host``: its folder; ``name`` and
    ``correctness`` as of a :class:`.campaign.HostCampaign`. Raises SeuError for a bad file at
    once."""

    def __init__(
        self,
        section: FaultInjectionSection,
        config: Any = None,
        host: Optional[Path] = None,
        name: str = "RFQuant",
        correctness: Optional[Correctness] = None,
    ) -> None:
        self.section = self.requested = section
        self.widths: Optional[BitWidths] = None
        self._active: List[FaultInjector] = []
        self._injected = False
        self._ran_clean: List[str] = []
        self._calibrated = False  # since the last faulted run began
        with _at(f"{SECTION}."):
            check_device(section.device)
        check_other_injectors(section, config)
        self._warn_of_training(config)
        self._warn_of_ber()
        self._campaign: Optional[HostCampaign] = None
        if section.campaign is not None:
            with _at(f"{SECTION}.campaign."):
                self._campaign = HostCampaign(section, config or {}, self._say, name, correctness)
        if isinstance(section.faults, str):
            with _at(f"{SECTION}.faults: "):
                listed = read_faults(find_existing(section.faults, host))
            self.section = section.model_copy(update={"faults": listed})
        source = section.bit_width_config
        if source is not None:
            with _at(f"{SECTION}.bit_width_config: "):
                self.widths = read_bit_widths(find_file(source.path, host), source.index)

    @hookimpl
    def rfquant_model_built(self, config: Any, model: Any) -> None:
        with _at(f"{SECTION}.bit_width_config: "):
            if self.widths is not None:
                check_bit_widths(model, self.widths)
        with _at(f"{SECTION}."):
            sites = select_sites(model, self.section.layers, self.section.quantizer)
            check_grids(sites, self.section)
            widest = {site.name: site.widest for site in sites}
            check_rules(self.section.protection, widest, self.section.bits)
            check_memory(sites, self.section)
            check_listed(model, sites, self.section)

    @hookimpl
    def rfquant_bit_widths(self, config: Any) -> Optional[BitWidths]:
        return self.widths

    @hookimpl
    def rfquant_run_phase(self, phase: Phase, run: Run) -> Optional[PhaseOutcome]:
        if phase.name == "calibrate":
            return self._calibrate(run)
        if phase.name == "validate" and not phase.inside("search"):
            if self.section.enable_in_inference:
                return self._validate(phase, run)
        elif phase.name == "train" and self.section.enable_in_training:
            return self._train(phase, run)
        elif phase.name == "search" and self.section.enable_in_search:
            return self._search(phase, run)
        self._ran_clean.append(phase.name)
        return None

    @hookimpl
    def rfquant_unconfigure(self, error: Optional[BaseException]) -> None:
        if error is None and not self._injected:
            ran = ", ".join(dict.fromkeys(self._ran_clean)) or "nothing"
            raise InjectionError(
                f"{SECTION} is enabled, but the run ended without an injection: the host ran "
                f"{ran}, with enable_in_training {self.section.enable_in_training}, "
                f"enable_in_inference {self.section.enable_in_inference} and "
                f"enable_in_search {self.section.enable_in_search}"
            )

    def _validate(self, phase: Phase, run: Run) -> PhaseOutcome:
        check_checkpoint(phase.config)
        if phase.bit_widths is not None:
            apply_bit_widths(phase.model, phase.bit_widths)
            with _at(f"{SECTION}."):
                quantizer = self.section.quantizer
                sites = select_sites(phase.model, self.section.layers, quantizer)
                check_listed(phase.model, sites, self.section)
        if self._campaign is not None:
            self._injected = True  # a worker ends inside; trials that did not inject are errors
            return self._campaign.validate(phase, run)
        golden: Sequence[float] = ()
        if self.section.golden_run:
            self._say("golden run (no upsets):")
            with host_rng_restored():
                golden = run().metrics
        calibration = self.section.bn_calibration
        if calibration == "both":
            with host_rng_restored():
                faulty, _ = self._faulted(phase, run, "faulty")
            calibration = "clean"
        else:
            faulty = None
        outcome, injector = self._faulted(phase, run, calibration)
        injector.print_summary()
        for line in accuracy_lines(golden, outcome.metrics, self.section.amount):
            self._say(line)
        if self._calibrated:
            self._say(f"quoted with BatchNorm calibrated {_CALIBRATED[calibration]}")
        if faulty is not None:
            for line in calibration_lines(outcome.metrics, faulty.metrics):
                self._say(line)
        if not outcome.metrics:
            self._say("the host's validate returned no accuracy that could be read")
        keys = _TO_CHANGE.get(self.section.mode, "ber, seed, layers, bits")
        self._say(f"to change: {keys} under {SECTION} in the YAML")
        return outcome

    def _faulted(
        self, phase: Phase, run: Run, calibration: str
    ) -> Tuple[PhaseOutcome, FaultInjector]:
        """One faulted run; BatchNorm, if the host calibrates it, sees what ``calibration`` says."""
        self._calibrated = False
        injector = self._injector(phase.model, bn_calibration=calibration)
        self._say(f"faulted run ({_asked_for(injector)}):")
        with self._enabled(injector):
            outcome = run()
        if phase.bit_widths is not None:
            used = {name: site.widths for name, site in injector.statistics().items()}
            check_widths_used(phase.model, phase.bit_widths, used)
        check_ranks_agree(injector.statistics())
        return outcome, injector

    def _train(self, phase: Phase, run: Run) -> PhaseOutcome:
        # The upper half of the draw counter is the epoch: a resumed training meets the same
        # maps as one that never stopped.
        epoch = max(int(phase.arguments.get("epoch") or 0), 0)
        changes: Dict[str, Any] = {}
        if self.section.ber_by_epoch is not None:
            changes["ber"] = self.section.ber_by_epoch.ber(epoch)
        injector = self._injector(phase.model, exposure_draw=epoch << 32, **changes)
        return self._at_changing_widths(injector, f"epoch {epoch}", run)

    def _search(self, phase: Phase, run: Run) -> PhaseOutcome:
        # The host searches with the model in train mode (util/greedy_search.py), forks in
        # eval mode as well. Draws apart from those of any epoch.
        modes = {"enable_in_training": True, "enable_in_inference": True}
        injector = self._injector(phase.model, exposure_draw=1 << 63, **modes)
        return self._at_changing_widths(injector, "search", run)

    def _at_changing_widths(self, injector: FaultInjector, what: str, run: Run) -> PhaseOutcome:
        with self._enabled(injector, widths_set_later=True):
            outcome = run()
        check_ranks_agree(injector.statistics())
        sites = injector.statistics().values()
        self._say(
            f"{what}: {sum(s.upsets for s in sites):,} upsets in "
            f"{sum(s.bits for s in sites):,} bits exposed, expected "
            f"{expected(sites)} ({_asked_for(injector)}){nan_inf(sites)}"
        )
        return outcome

    def _injector(self, model: Any, exposure_draw: int = 0, **changes: Any) -> FaultInjector:
        settings = self.section.model_copy(update={"bn_calibration": "clean", **changes})
        injector = FaultInjector.from_settings(model, settings, exposure_draw)
        if self.section.seed is None:  # drawn once for the whole run
            self.section = self.section.model_copy(update={"seed": injector.seed})
        return injector

    def _calibrate(self, run: Run) -> Optional[PhaseOutcome]:
        self._calibrated = True
        if self._campaign is not None and not self._active:
            return self._campaign.calibrate(run)
        if not self._active or self._active[-1].settings.bn_calibration == "faulty":
            return None
        with self._active[-1].suspended():
            return run()

    @contextmanager
    def _enabled(self, injector: FaultInjector, widths_set_later: bool = False) -> Iterator[None]:
        self._active.append(injector)
        try:
            injector.enable(widths_set_later)
            with injector:
                yield
            self._injected = self._injected or injector.settings.injects or not self._asked
        finally:
            self._active.pop()

    def _warn_of_ber(self) -> None:
        section = self.section
        elsewhere = section.enable_in_search or (
            section.enable_in_training and section.ber_by_epoch is None
        )
        if section.campaign is not None and section.campaign.ber and section.ber and not elsewhere:
            self._say(f"warning: {SECTION}.ber is not used: the campaign's own ber are")

    def _warn_of_training(self, config: Any) -> None:
        """The published host never calls validate while it trains (main.py), so that a run may
        end, hours later, without an injection; forks do call it."""
        told = [key for key in ("eval", "search") if isinstance(setting(config or {}, key), bool)]
        evaluates = any(setting(config or {}, key) for key in told)
        if told and not evaluates and not self.section.enable_in_training:
            off = ", ".join(f"{key}: false" for key in told)
            self._say(
                f"warning: the host is to train ({off}) and enable_in_training is false: unless it "
                "evaluates as it trains, nothing will be injected, and the run ends with an error"
            )

    @property
    def _asked(self) -> bool:
        """Whether upsets are asked for in any phase."""
        schedule = self.section.ber_by_epoch
        return self.section.injects or (schedule is not None and schedule.highest > 0.0)

    def _say(self, line: str) -> None:
        if rank() == 0:
            print(f"seu-plugin: {line}", flush=True)


def _asked_for(injector: FaultInjector) -> str:
    """In words; a list draws nothing, so that no seed changes it."""
    settings = injector.settings
    seed = "" if settings.mode == "fault_list" else f", seed {injector.seed}"
    return f"{settings.amount}{seed}"


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Put the place in the YAML in front of what is wrong with it."""
    try:
        yield
    except SeuError as error:
        first, *others = error.lines
        raise type(error)(f"{place}{first}", *others) from error
