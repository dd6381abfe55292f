"""One model, evaluated without faults and then under one trial after the other."""

from __future__ import annotations

import time
import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple

from torch import nn

from rfquant_hooks.contract import PhaseOutcome

from ..analysis.strata import place_trial
from ..analysis.trials import Outcomes, Trial, TrialResult
from ..errors import ConfigError, InjectionError, SeuWarning
from ..faults.fault_list import Fault
from ..faults.site_memory import SiteMemory
from ..injection.bit_scores import InputKeeper, bit_scores
from ..injection.devices import check_ranks_agree, on_every_rank
from ..injection.fit import check_at
from ..injection.injector import FaultInjector
from ..injection.reuse import Reuse
from ..memory.codecs import codec
from ..settings.injection import InjectionSettings
from .correctness import Changed, Correctness, Images
from .draws import Draws, Struck
from .host_data import HostData
from .model_digest import digest_of
from .outcomes import GoldenDigest, OutputRecorder, Recorded, against, both, check_metrics, compare
from .reuse_check import Ran, ReuseCheck
from .run_state import Calibrations, RunState, check_observers
from .sampling import site_memories
from .stored import Stored

Run = Callable[[], PhaseOutcome]


class Evaluation:
    """Runs ``run`` with the model under one fault map after the other; nothing else differs.

    BatchNorm is calibrated once, by the golden run, unless ``bn_calibration`` is faulty. A trial
    that reads everything right takes the golden result without a run. ``draws`` says what it is
    given. With ``reuse`` it computes only what its upsets change; ``data`` is what the host reads,
    which trials may be given again. Afterwards the model is as a clean run left it.
    """

    def __init__(
        self,
        model: nn.Module,
        run: Run,
        settings: InjectionSettings,
        outcomes: bool = True,
        correctness: Optional[Correctness] = None,
        reuse: Optional[Reuse] = None,
        data: Optional[HostData] = None,
        draws: Optional[Draws] = None,
        images_kept: Optional[int] = None,
    ) -> None:
        self.model = model
        self._run = run
        self.injector = FaultInjector.from_settings(model, settings)
        self.reuse = reuse if settings.targets == ("weights",) else None
        self.check = None if self.reuse is None else ReuseCheck(self.reuse)
        self.seed = self.injector.seed
        self.calibrations = Calibrations(model)
        self._recorder = OutputRecorder() if outcomes else None
        self._outputs: Optional[Recorded] = None
        self.data = data or HostData()
        self.images = Images(correctness or Correctness())
        self.draws = draws or Draws("not asked for")
        self._keeper = None if images_kept is None else InputKeeper(images_kept)
        self._before: Optional[RunState] = None
        self._after: Optional[RunState] = None
        self.widths: Dict[str, List[int]] = {}
        self.golden_outcome: Optional[PhaseOutcome] = None

    def __enter__(self) -> Evaluation:
        check_observers(self.model)
        self.model_digest = digest_of(self.model)
        self.injector.enable(widths_set_later=True, reuse=self.reuse)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.injector.release()  # every trial was checked on its own
        if self.reuse is not None:
            self.reuse.clear()
        self.data.close()
        if error is None and self._after is not None:
            self._after.restore()

    def golden(self) -> TrialResult:
        """The run without faults. Raises ConfigError if it gives no accuracy."""
        started = time.perf_counter()
        self._before = RunState(self.model)
        seen = GoldenDigest(self._recorder)
        self.injector.observe(seen if self._keeper is None else both(seen, self._keeper))
        if self.reuse is not None and self._is_static():
            self.reuse.golden()
        with self.injector.suspended(), self.data.golden(self.images.note):
            outcome = self._run()
        self._watch_nothing()
        self._after = RunState(self.model)
        self.widths = self.injector.clean_widths()
        with self.injector.suspended():
            check_at(self.injector.sites, self.widths)
        self.injector.observe(self._recorder)
        self.injector.keep_step_sizes()
        if not outcome.metrics:
            raise ConfigError("campaign: the host's validate returned no accuracy to compare")
        check_metrics(outcome.metrics, "the golden run")
        unused = [name for name, widths in self.widths.items() if not widths]
        if len(unused) == len(self.widths):
            raise InjectionError("campaign: not one forward passed through a selected site")
        if unused:
            told = f"campaign: no forward passed through {', '.join(unused)}: they are not upset"
            warnings.warn(told, SeuWarning, stacklevel=2)
        if self._recorder is not None:
            self._outputs = self._recorder.taken()
            self._recorder.golden = None if self._outputs is None else self._outputs[1]
        self.golden_outcome = outcome
        right = self.images.begin(outcome, self._outputs)
        self.draws.begin(self._memories, self._is_static(), self.seed)
        return TrialResult(
            Trial(0),
            tuple(outcome.metrics),
            bits=self.stored.bits,
            outcomes=compare(self._outputs, self._outputs),
            seconds=time.perf_counter() - started,
            digest=seen.digest(),
            images=None if right is None else self.images.number,
            right=right,
        )

    def clean_again(self) -> Tuple[PhaseOutcome, Optional[Outcomes]]:
        """What the golden run gives once more, and its outputs against those."""
        assert self._before is not None
        self._before.restore()
        self.calibrations.rewind()
        with self.injector.suspended():
            outcome = self._run()
        self._watch_nothing()
        outputs = None if self._recorder is None else self._recorder.taken()
        return outcome, compare(self._outputs, outputs)

    def _memories(self) -> List[SiteMemory]:
        words = {site.name: site.words for site in self.injector.sites}
        return site_memories(self.widths, words, self.injector.settings)

    @property
    def stored(self) -> Stored:
        """What faults may strike; after the golden run."""
        return Stored(self.injector.sites, self.widths, self.injector.settings)

    def trial(self, trial: Trial) -> TrialResult:
        """One trial; the golden run comes first."""
        started = time.perf_counter()
        golden = self.golden_outcome
        if golden is None or self._before is None:
            raise InjectionError("a trial needs the golden run first")
        struck: Struck = None
        given: Tuple[Any, ...]
        if trial.ber is not None or trial.moment is not None:
            given, struck = self.draws.given(trial)
            self.injector.start_trial(*given)
            unread = self._nothing_wrong() if self._is_static() else None
            if unread is not None:
                return TrialResult(
                    trial,
                    tuple(golden.metrics),
                    **unread,
                    bits=self.stored.bits,
                    ran=False,
                    **against(self._outputs, self._outputs),
                    seconds=time.perf_counter() - started,
                    struck=struck,
                    **_images(self.images.unchanged()),
                )
        else:
            given = (trial.number, 0.0, place_trial(trial, self.stored.memory, self.seed))
        outcome, outputs, reused = self._evaluated(trial.id, given)
        check_metrics(outcome.metrics, f"trial {trial.id}", len(golden.metrics))
        self.injector.check_trial()
        check_ranks_agree(self.injector.statistics())
        sites = self.injector.statistics().values()
        guarded: Dict[str, Any] = {}
        if self.injector.settings.protection:
            weights = {site.name for site in self.injector.sites}
            guarded = {
                name: sum(getattr(s, name) for s in sites if s.name in weights)
                for name in ("residual", "corrected", "detected")
            }
        compared = against(self._outputs, outputs)
        differs = next(filter(None, on_every_rank(self.data.differs)), None)
        if differs is not None:
            self.images.refuse(differs)
            compared = {}  # image j is another image
        result = TrialResult(
            trial,
            tuple(outcome.metrics),
            sum(s.upsets for s in sites),
            sum(s.words_hit for s in sites),
            sum(s.bits for s in sites),
            {s.name: s.upsets for s in sites if s.upsets},
            seconds=time.perf_counter() - started,
            struck=struck,
            **compared,
            **_images(self.images.changed(outcome, outputs)),
            differs=differs,
            reused=reused,
            **guarded,
        )
        return on_every_rank(result)[0]

    def _evaluated(self, trial: str, given: Tuple[Any, ...]) -> Ran:
        """One run of the host; ``given``: arguments of ``start_trial``."""
        before = self._before
        assert before is not None

        def run(reuses: bool) -> Ran:
            self.injector.start_trial(*given)
            before.restore()
            self.calibrations.rewind()
            if self._recorder is not None:
                self._recorder.clear()
            if reuses and self.reuse is not None:
                self.reuse.trial()
            try:
                with self.data.trial(trial):
                    outcome = self._run()
            finally:
                self._watch_nothing()
            return Ran(outcome, None if self._recorder is None else self._recorder.taken())

        if self.reuse is None or self.check is None or not self._is_static():
            return run(False)
        return self.check.run(trial, run)

    def bit_scores(self) -> Dict[str, Any]:
        """How much each exposed bit matters, as :func:`~seu_plugin.injection.bit_scores`; after the
        golden run, which kept images for it."""
        if self._keeper is None or self._after is None:
            raise InjectionError("scores of bits need the images of a golden run")
        with self.injector.suspended():
            self.injector.observe(None)
            found = bit_scores(
                self.model,
                self.injector.sites,
                self.stored.memory,
                self.widths,
                codec(self.injector.settings.encoding),
                self._keeper,
            )
        self.injector.observe(self._recorder)
        self._after.restore()
        self._keeper.parts.clear()
        return found

    def calibrate(self, run: Run) -> PhaseOutcome:
        """BatchNorm as the golden run calibrated it; what that reads, no trial does."""
        with self.data.paused():
            return self.calibrations.calibrate(run)

    def _watch_nothing(self) -> None:
        if self.reuse is not None:
            self.reuse.idle()

    def faults(self) -> List[Fault]:
        """The bits that were read wrong in the trial that ran last. Raises InjectionError unless
        one static map of weights is all that it had."""
        if not self._is_static():
            raise InjectionError("a trial of per_forward maps has several lists of faults")
        return self.injector.faults()

    def _nothing_wrong(self) -> Optional[Dict[str, Any]]:
        """What a trial counts whose static maps leave everything as it was; None if they do not."""
        if self.injector.settings.targets != ("weights",):
            return None
        maps = self.injector.static_maps(self.widths)
        if not all(one.harmless for several in maps.values() for one in several):
            return None
        upsets = {name: sum(one.upsets or 0 for one in several) for name, several in maps.items()}
        found = [one for several in maps.values() for one in several]
        counts: Dict[str, Any] = {
            "upsets": sum(upsets.values()),
            "upsets_by_site": {name: n for name, n in upsets.items() if n},
        }
        if self.injector.settings.protection:
            corrected, detected = (sum(r.corrected for r in found), sum(r.detected for r in found))
            counts.update(residual=0, corrected=corrected, detected=detected)
        return counts

    def _is_static(self) -> bool:
        persistence = self.injector.settings.persistence
        in_eval_mode = not any(site.layer.training for site in self.injector.sites)
        return persistence == "static" or (persistence == "auto" and in_eval_mode)


def _images(found: Optional[Changed]) -> Dict[str, Any]:
    """For a row."""
    return {} if found is None else {"changed": found[0], "wrong_to_wrong": found[1]}
