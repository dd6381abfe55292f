"""Campaigns: a golden run and many trials, from the plan to the report."""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch

from .._version import __version__
from ..analysis.critical import plan_of, read_plan, write_plan
from ..analysis.results import ResultStore
from ..analysis.rows import trials_in
from ..analysis.strata import strata, stratum_trials
from ..analysis.summary import Summary, check_struck
from ..analysis.trials import Trial, TrialResult, same, stratum
from ..errors import InjectionError, SeuError
from ..faults.itinerary import Itinerary
from ..injection.devices import on_every_rank, rank
from ..report.files import write_report
from ..settings.campaign import CampaignSettings, Sensitivity
from ..settings.injection import InjectionSettings
from .evaluation import Evaluation
from .progress import CampaignProgress
from .sampling import check_bers, described, highest_ber, plain_because
from .schedule import batches
from .stopping import TOO_EARLY, stoppable

#: Runs trials, in any order, and gives each one's result.
Engine = Callable[[Sequence[Trial]], Iterable[TrialResult]]
Say = Callable[[str], None]
Note = Callable[[Sequence[float], Optional[str]], None]

#: Settings that decide what a trial gives.
_IDENTITY = (
    "mode",
    "encoding",
    "bits",
    "layers",
    "persistence",
    "bn_calibration",
    "enable_in_training",
    "enable_in_inference",
)
_ALSO = ("stuck_at", "asymmetric", "mbu", "upsets", "memory", "protection", "targets", "quantizer")


class CampaignRun:
    """One campaign over one :class:`~seu_plugin.campaign.evaluation.Evaluation`.

    ``bers`` is the grid; ``about`` goes into the manifest (command, host). On every rank of a
    process group the same trials run; rank 0 alone writes and speaks.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        campaign: CampaignSettings,
        bers: Tuple[float, ...],
        folder: Path,
        say: Say,
        about: Optional[Mapping[str, Any]] = None,
    ) -> None:
        settings = evaluation.injector.settings
        self.evaluation, self.bers = evaluation, bers
        self.campaign = of_mode(campaign, settings)
        self.folder, self._say, self._about = folder, say, dict(about or {})
        self.strata: Dict[str, int] = {}
        self._kept: Optional[Mapping[str, TrialResult]] = None  # once the folder is open

    def identity(self) -> Dict[str, Any]:
        """What must agree for two results to belong together; after the golden run."""
        return {
            "section": section_identity(
                self.evaluation.injector.settings, self.campaign, self.evaluation.draws.itinerary
            ),
            "seed": self.evaluation.seed,
            "widths": self.evaluation.widths,
            "model": self.evaluation.model_digest,
        }

    def run(self, golden: TrialResult, engine: Optional[Engine] = None) -> Optional[Summary]:
        """Run what is missing and write the report; the summary on rank 0.

        Raises SiteError for a stratum of fewer bits than upsets, before any trial; ConfigError if
        the folder holds another campaign, InjectionError if ``golden`` is
        not what the golden run gave when the campaign began.
        """
        if self.evaluation.injector.settings.mode == "exact_count":
            self.strata = {stratum(None, None): self.evaluation.stored.bits}
        elif self.campaign.sensitivity is not None:
            self.strata = strata(self.evaluation.stored.memory, self.campaign.sensitivity)
        if self.campaign.sensitivity is not None:
            for name, stored in self.strata.items():  # what does not fit costs no trial
                stratum_trials(name, stored, self.campaign.sensitivity)
        conditional = self.evaluation.draws.conditional
        if conditional is not None:
            check_bers(conditional, self.bers)
        elif self.campaign.sampling == "conditional" and self.bers:
            self._say(f"trials are drawn plainly: {self.evaluation.draws.why_plain}")
        population = None if conditional is None else conditional.population
        highest = highest_ber(self.evaluation.injector.settings)
        extra, bits = self.evaluation.stored.extra_bits, self.evaluation.stored.bits
        if extra and bits:
            self._say(f"protection adds {extra:,} bits to {bits:,} ({100 * extra / bits:.1f} %)")
        reused: List[float] = []  # of each trial that ran
        differs: Optional[str] = None
        with stoppable(self.stopped), self._results(golden) as (results, append, note):
            self._kept, known = results, len(results)
            check_struck([*results.values()], population)
            if known:
                self._say(f"{self.folder} has {known:,} trials already: only others are run")
            with (
                noted(lambda: note(reused, differs)),
                CampaignProgress(self._say, quiet=rank() != 0) as progress,
            ):
                plan = (self.campaign, self.bers, self.strata, golden, results, population, highest)
                more = (self.evaluation.draws.itinerary, self._critical())
                for batch in batches(*plan, *more):
                    missing = [trial for trial in batch.trials if trial.id not in results]
                    progress.begin(batch.title, len(missing))
                    for result in (engine or self._here)(missing):
                        append(result)
                        progress.advance(result)
                        reused += [] if result.reused is None else [result.reused]
                        if differs is None and result.differs is not None:
                            differs = result.differs
                            self._say(f"{differs}; what becomes of single images is not known")
        if sum(reused):
            share = 100 * sum(reused) / len(reused)
            self._say(f"{share:.0f} % of the work of the trials was reused from the golden run")
        return write_report([self.folder], self.folder) if rank() == 0 else None

    def _critical(self) -> List[Trial]:
        """Single upsets of the bits that matter, as planned when the campaign began: rank 0 plans,
        and the others follow."""
        if self.campaign.critical is None:
            return []
        plan = read_plan(self.folder) if rank() == 0 else None
        (known,) = on_every_rank(plan is not None)[:1]
        if not known:
            scores = self.evaluation.bit_scores()  # on every rank: forwards may wait for others
            bits = {site: several for site, (_, several) in self.evaluation.stored.memory.items()}
            plan = plan_of(scores, bits, self.campaign.critical.trials, self.evaluation.seed)
            if rank() == 0:
                write_plan(self.folder, plan)
        (plan,) = on_every_rank(plan)[:1]
        assert plan is not None
        self._say(f"critical bits: {len(plan.drawn):,} of {plan.bits:,}, drawn by their gradients")
        return plan.trials()

    def stopped(self) -> str:
        """What to say when the user stops the run now."""
        if self._kept is None:
            return TOO_EARLY
        # On rank 0 as the file has it: a row may have been written and not been counted.
        safe = trials_in(self.folder) if rank() == 0 else len(self._kept)
        return (
            f"seu-plugin: stopped; {safe:,} trials are safe in {self.folder}: the same "
            "command goes on from there"
        )

    def _here(self, trials: Sequence[Trial]) -> Iterator[TrialResult]:
        return map(self.evaluation.trial, trials)

    @contextmanager
    def _results(
        self, golden: TrialResult
    ) -> Iterator[Tuple[Dict[str, TrialResult], Callable[[TrialResult], None], Note]]:
        """Results by trial id, what takes another, and what takes notes of the run: the store on
        rank 0, memory elsewhere."""
        store: Optional[ResultStore] = None
        trouble: Optional[SeuError] = None
        if rank() == 0:
            try:
                store = ResultStore(self.folder, self.manifest())
                check_golden(store, golden)
            except SeuError as error:
                trouble = error
        shared = on_every_rank((trouble, {} if store is None else store.results))[0]
        try:
            if shared[0] is not None:
                raise shared[0]
            if store is not None:
                yield store.results, store.append, store.note
            else:
                memory = shared[1]
                yield (
                    memory,
                    lambda result: memory.update({result.trial.id: result}),
                    lambda reused, differs: None,
                )
        finally:
            if store is not None:
                store.close()

    def manifest(self) -> Dict[str, Any]:
        """The contents of ``manifest.json``."""
        identity, evaluation = self.identity(), self.evaluation
        plan = self.campaign.model_copy(update={"ber": self.bers or None})
        cuda = torch.cuda.is_available()
        return {
            "format": 1,
            "campaign_hash": digest(identity),
            "identity": identity,
            "shard": self.campaign.shard or "0/1",
            "seed": self.evaluation.seed,
            "plan": plan.model_dump(mode="json"),
            "strata": self.strata,
            "adapters": dict(evaluation.injector.sites.adapters),
            "words": {site.name: site.words for site in evaluation.injector.sites},
            "extra_bits": self.evaluation.stored.extra_bits,
            **described(
                evaluation.draws.conditional, evaluation.draws.why_plain, evaluation.images.why
            ),
            "versions": {
                "seu-plugin": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
            },
            "device": torch.cuda.get_device_name() if cuda else f"CPU {platform.machine()}",
            "threads": torch.get_num_threads(),
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **self._about,
        }


@contextmanager
def noted(note: Callable[[], None]) -> Iterator[None]:
    """``note`` is called at the end, also if that is an error."""
    try:
        yield
    except BaseException:
        with suppress(SeuError):  # the error in flight says more
            note()
        raise
    note()


def of_mode(campaign: CampaignSettings, settings: InjectionSettings) -> CampaignSettings:
    """``campaign``; of mode ``exact_count``, a study of the whole memory as one stratum."""
    if settings.mode != "exact_count":
        return campaign
    whole = Sensitivity(trials=campaign.trials, upsets=settings.upsets)
    return campaign.model_copy(update={"sensitivity": whole, "max_drop": None})


def check_golden(store: ResultStore, golden: TrialResult) -> None:
    """Keep the golden run; raise InjectionError if the campaign began with another."""
    if store.golden is None:
        store.append(golden)
    elif not same(store.golden, golden):
        raise InjectionError(
            f"{store.folder}: the golden run now gives {_percent(golden)}, and gave "
            f"{_percent(store.golden)} (or other outputs) when the campaign began: the data, the "
            "evaluation, the libraries or the number of threads have changed; choose another output"
        )


def _percent(result: TrialResult) -> str:
    return ", ".join(f"{metric:.4f} %" for metric in result.metrics)


def section_identity(
    settings: InjectionSettings,
    campaign: CampaignSettings,
    itinerary: Optional[Itinerary] = None,
) -> Dict[str, Any]:
    """The settings that decide what a trial gives, for the manifest."""
    dumped = settings.model_dump(mode="json", include=set(_IDENTITY))
    for name in _ALSO:  # left out where they say what they said before they were there
        value = getattr(settings, name)
        if value != InjectionSettings.model_fields[name].default:
            dumped[name] = settings.model_dump(mode="json", include={name})[name]
    if plain_because(settings, campaign) is None:  # folders without it were drawn plainly
        dumped["sampling"] = "conditional"
    if itinerary is not None:
        dumped["mission"] = itinerary.document()
    return {**dumped, "outcomes": campaign.outcomes}


def digest(value: Any) -> str:
    """SHA-256 of a JSON document."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
