"""Campaigns from Python, with no host script at all."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Optional, Sequence, Union

from torch import nn

from rfquant_hooks.contract import PhaseOutcome

from ..analysis.summary import Summary
from ..errors import ConfigError
from ..injection.arguments import check_model, selection
from ..injection.devices import rank
from ..report.tables import closing_lines, print_tables
from ..settings.injection import InjectionSettings
from ..settings.section import SECTION, parse_section
from .correctness import Scored
from .draws import Draws
from .evaluation import Evaluation
from .repeats import check_repeats
from .returned import check_percent, outcome_of
from .reused import reuse_of
from .run import CampaignRun
from .sampling import plain_because
from .stopping import TOO_EARLY, stoppable, told_in_one_line

#: Top-1 accuracy in percent; one for each architecture evaluated, or an array of scores.
Accuracy = Union[float, Sequence[float], Any]


class Campaign:
    """A golden run and many trials, over a grid of BERs, on a model of yours::

        summary = Campaign(model, lambda: evaluate(model), ber=[1e-4, 1e-3, 1e-2], seed=42).run()
        summary.thresholds[0].ber  # accuracy has dropped by max_drop

    ``evaluate()`` runs the model on the test data and returns the top-1 accuracy in percent; it
    must give the same for the same weights. Better still, it returns a tensor or array of shape
    [images] with 1 where the class is right and 0 where it is not (or any score in [0, 1], kept to
    1/65535): then intervals cover other images, too. Further keyword arguments are the keys of the
    YAML: those of ``campaign`` (``ber``, ``trials``, ``max_drop``, ``output``, ...) and those of
    the section (``seed``, ``layers``, ``bits``, ``encoding``, ...). Trials run in this process.

    Raises ConfigError for a bad argument.
    """

    def __init__(self, model: nn.Module, evaluate: Callable[[], Accuracy], **settings: Any) -> None:
        check_model("Campaign.model", model)
        if not callable(evaluate):
            raise ConfigError(
                "Campaign.evaluate: must be a function without arguments; received a "
                f"{type(evaluate).__name__}"
            )
        self.model, self._evaluate = model, evaluate
        if "layers" in settings:
            settings["layers"] = selection(settings["layers"])
        if isinstance(settings.get("output"), os.PathLike):
            settings["output"] = os.fspath(settings["output"])
        section = {k: settings.pop(k) for k in list(settings) if k in _SECTION_KEYS}
        parsed = parse_section({**section, "campaign": settings})
        assert parsed.campaign is not None
        self.section, self.campaign = parsed, parsed.campaign
        if self.campaign.engine != "local" or (self.campaign.workers or 1) > 1:
            raise ConfigError(
                f"{SECTION}.campaign.workers: processes start a host; from Python, trials run in "
                "this one (shard divides them)"
            )
        self.folder = self.campaign.folder
        self._campaign_run: Optional[CampaignRun] = None

    def run(self) -> Optional[Summary]:
        """Run what is missing in ``output``, write the report, print a table; the summary (on
        rank 0 of a process group, else None).

        Ctrl-C and SIGTERM raise :class:`~rfquant_hooks.contract.Stopped`, whose one line says what
        is kept."""
        self._campaign_run = None
        with told_in_one_line(), stoppable(self._stopped):
            return self._run()

    def _stopped(self) -> str:
        return TOO_EARLY if self._campaign_run is None else self._campaign_run.stopped()

    def _run(self) -> Optional[Summary]:
        settings, campaign = self.section, self.campaign
        draws = Draws(plain_because(settings, campaign), settings.itinerary)
        asked = (campaign.outcomes, Scored(), reuse_of(campaign), None, draws, campaign.images_kept)
        with Evaluation(self.model, self._outcome, settings, *asked) as evaluation:
            golden = evaluation.golden()
            assert evaluation.golden_outcome is not None
            check_percent(evaluation.golden_outcome)
            check_repeats(evaluation, self.folder)
            bers = self.section.grid
            about = {"command": None, "host": "Python", "argv": sys.argv, **self.section.about}
            run = CampaignRun(evaluation, self.campaign, bers, self.folder, _say, about)
            self._campaign_run = run
            summary = run.run(golden)
        if summary is not None:
            print_tables(summary)
            for line in closing_lines(summary, self.folder):
                _say(line)
        return summary

    def _outcome(self) -> PhaseOutcome:
        return outcome_of(self._evaluate())


_SECTION_KEYS = {*InjectionSettings.model_fields} - {"ber", "trial"}


def _say(line: str) -> None:
    if rank() == 0:
        print(f"seu-plugin: {line}", flush=True)
