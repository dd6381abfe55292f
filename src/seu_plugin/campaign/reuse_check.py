"""The first trials that reuse work are run again without it: what they give must be the same.

Reuse rests on what modules do being seen: their inputs, outputs, tensors and attributes. A model
whose modules tell each other more (a list that one fills and another empties) is found out here.
"""

from __future__ import annotations

import warnings
from typing import Callable, NamedTuple, Optional

import torch

from rfquant_hooks.contract import PhaseOutcome, PluginError

from ..errors import SeuWarning
from ..injection.devices import on_every_rank
from ..injection.reuse import Reuse
from .outcomes import Recorded

#: Trials that are run twice, in each process.
CHECKED = 2


class Ran(NamedTuple):
    """What a run gave; ``reused``: the share of its work that was reused, if that was tried."""

    outcome: PhaseOutcome
    outputs: Optional[Recorded]
    reused: Optional[float] = None

    def same(self, other: Ran) -> bool:
        """Accuracies, and bits of outputs as far as they were recorded."""
        ours, theirs = self.outputs, other.outputs
        if tuple(self.outcome.metrics) != tuple(other.outcome.metrics):
            return False
        if ours is None or theirs is None:
            return ours is theirs
        return torch.equal(ours[0], theirs[0])


class ReuseCheck:
    """``left``: trials that are still to be run twice."""

    def __init__(self, reuse: Reuse) -> None:
        self._reuse, self.left = reuse, CHECKED

    def run(self, trial: str, run: Callable[[bool], Ran]) -> Ran:
        """``run`` with reuse; while there are trials left to check, also without: then that is what
        counts. Reuse ends with a warning where the two are not the same. A model that keeps a state
        is not run twice: the next trial would see another. Collective."""
        failed: Optional[Exception] = None
        found: Optional[Ran] = None
        try:
            found = run(True)
        except PluginError:
            raise
        except Exception as error:
            if not self.left:
                raise
            failed = error
        reused = failed is not None or (self._reuse.share > 0.0 and self._reuse.repeats)
        if not (self.left and any(on_every_rank(reused))):
            assert found is not None
            return found._replace(reused=self._reuse.share)
        self.left -= 1
        whole = run(False)
        same = found is not None and found.same(whole)
        if not all(on_every_rank(same)):
            self._reuse.give_up()
            warnings.warn(
                f"campaign.reuse: trial {trial} gives something else when all is computed, which "
                "is what counts: the evaluation does not repeat itself, or modules of this model "
                "tell each other more than their inputs and outputs show; nothing is reused",
                SeuWarning,
                stacklevel=2,
            )
        return whole
