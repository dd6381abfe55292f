"""What a user's own ``evaluate`` returned: an accuracy, several of them, or a score an image."""

from __future__ import annotations

from typing import Any

from rfquant_hooks.contract import PhaseOutcome

from ..errors import ConfigError
from ..fields import shown
from .correctness import scores_of
from .outcomes import check_metrics


def outcome_of(value: Any) -> PhaseOutcome:
    """``value`` with the accuracies in it: top-1 in percent, one for each architecture evaluated,
    or a tensor or array of shape [images] of scores in [0, 1]. Raises ConfigError for anything
    else."""
    scores = scores_of(value)
    if scores is not None:
        return PhaseOutcome(value, (100.0 * float(scores.mean()),))
    many = value if isinstance(value, (list, tuple)) else (value,)
    try:
        if not many or any(isinstance(metric, (bool, str, bytes)) for metric in many):
            raise TypeError("not a number")
        metrics = tuple(float(metric) for metric in many)
        if len(metrics) > 1 and any(metrics) and all(0.0 <= one <= 1.0 for one in metrics):
            raise TypeError("scores, or fractions")
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ConfigError(
            "evaluate: must return the top-1 accuracy in percent, or a tensor or array of shape "
            f"[images] with a score in 0 ... 1 for each; received {shown(value)}"
        ) from error
    return PhaseOutcome(value, metrics)


def check_accuracy(outcome: PhaseOutcome) -> None:
    """Outside of a campaign, which names the trial itself: raise ConfigError as it would."""
    try:
        check_metrics(outcome.metrics, "evaluate")
    except ConfigError as error:
        raise ConfigError(
            "evaluate: must return the top-1 accuracy in percent, a number in 0 ... 100, also "
            f"where outputs are NaN; received {', '.join(map(str, outcome.metrics))}"
        ) from error


def check_percent(golden: PhaseOutcome) -> None:
    """Raise ConfigError if the golden run seems to have returned a fraction."""
    fractions = all(0.0 < metric <= 1.0 for metric in golden.metrics)
    if fractions and scores_of(golden.value) is None:
        raise ConfigError(
            "evaluate: must return the top-1 accuracy in percent; the golden run gave "
            f"{', '.join(map(str, golden.metrics))}, which looks like a fraction"
        )
