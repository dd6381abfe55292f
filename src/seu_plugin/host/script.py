"""A host of one phase: a user's own ``build()`` and ``evaluate(model)``, under the section."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Sequence

from rfquant_hooks.contract import Phase, PhaseOutcome

from ..campaign.correctness import Scored
from ..campaign.returned import check_accuracy, check_percent, outcome_of
from ..errors import ConfigError
from ..injection.arguments import check_model
from ..settings.merged import read_section
from ..settings.section import SECTION, FaultInjectionSection
from .functions import find_function, not_to_end
from .runtime import Runtime

#: Of the manifest of a campaign.
NAME = "seu run"


def run_script(model: str, evaluate: str, files: Sequence[Path], changes: Sequence[str]) -> None:
    """Evaluate what ``model`` builds with ``evaluate`` (both ``module:function``), under the
    section of ``files`` with ``changes`` (``a.b=value``).

    Raises SeuError for a mistake, before the model is built if it can be known by then; what the
    user's functions raise is left alone.
    """
    section, _ = read_section(files, changes)
    check_phases(section)
    runtime = Runtime(section, host=Path.cwd(), name=NAME, correctness=Scored())
    build = find_function("--model", model)
    measure = find_function("--evaluate", evaluate, ["model"])
    with not_to_end(f"--model: {model}"):
        network = build()
    check_model(f"--model: what {model} returned", network)
    runtime.rfquant_model_built(config={}, model=network)
    phase = Phase("validate", network, {}, {}, runtime.widths)
    alone = section.campaign is None
    clean_first = section.golden_run or not alone
    runtime.rfquant_run_phase(phase, _run(evaluate, measure, network, clean_first, alone))
    runtime.rfquant_unconfigure(error=None)


def check_phases(section: FaultInjectionSection) -> None:
    """Raise ConfigError for what a host with nothing but an evaluation cannot do."""
    for key, value, allowed in (
        ("enabled", section.enabled, section.enabled),
        ("enable_in_inference", section.enable_in_inference, section.enable_in_inference),
        ("enable_in_search", section.enable_in_search, not section.enable_in_search),
    ):
        if not allowed:
            raise ConfigError(
                f"{SECTION}.{key}: must be {str(not value).lower()}: seu run evaluates, under "
                f"upsets, and nothing else; received {str(value).lower()}"
            )
    if section.bn_calibration == "both":
        raise ConfigError(
            f"{SECTION}.bn_calibration: allowed with seu run, which knows of no calibration in "
            "evaluate, are clean, faulty; received 'both'"
        )


def _run(
    name: str, measure: Callable[[Any], Any], model: Any, clean_first: bool, alone: bool
) -> Callable[[], PhaseOutcome]:
    runs = 0

    def run() -> PhaseOutcome:
        nonlocal runs
        with not_to_end(f"--evaluate: {name}"):
            value = measure(model)
        outcome = outcome_of(value)
        if clean_first and runs == 0:
            check_percent(outcome)
        if alone:
            check_accuracy(outcome)
        runs += 1
        return outcome

    return run
