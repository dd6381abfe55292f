"""Whether an evaluation of one's own repeats itself: its scatter would be taken for damage."""

from __future__ import annotations

from pathlib import Path

from ..analysis.manifest import MANIFEST
from ..errors import ConfigError
from .correctness import same_scores
from .evaluation import Evaluation


def check_repeats(evaluation: Evaluation, folder: Path) -> None:
    """After the golden run: evaluate without faults once more, unless ``folder`` has a golden run
    to hold it against. Raises ConfigError if that gives anything else."""
    if (folder / MANIFEST).exists():
        return
    golden = evaluation.golden_outcome
    assert golden is not None
    again, outputs = evaluation.clean_again()
    same = again.metrics == golden.metrics and same_scores(again.value, golden.value)
    if not same or (outputs is not None and outputs.masked != outputs.images):
        first, second = (", ".join(f"{m:.4f} %" for m in o.metrics) for o in (golden, again))
        raise ConfigError(
            f"evaluate: does not repeat itself: without faults it gave {first}, and then {second} "
            "or other outputs: take the same images in the same order, and seed what is random"
        )
