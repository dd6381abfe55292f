"""Accuracy drops at one BER, and what they say of the mean. No torch.

Trials that are drawn given that something may be read wrong (``chance``: the exact probability of
that) stand for ``chance`` of all fault maps; the others cost nothing. So the mean drop is
``chance`` times that of the trials, and every interval of it likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np

from ..faults.population import Population
from .any_law import any_law_interval
from .columns import Rows
from .intervals import Interval, clopper_pearson, stein_interval, t_interval, trials_for_margin
from .trials import TrialResult

#: More than any limit on trials.
_MANY = 1 << 60


@dataclass(frozen=True)
class Drops:
    """``values`` in percentage points, by trial number; of a model of accuracy ``golden`` in %, so
    that they lie in ``golden`` - 100 ... ``golden``. ``conditional``: whether drawn so."""

    values: Tuple[float, ...]
    golden: float
    chance: float = 1.0
    conditional: bool = False

    @property
    def mean(self) -> float:
        return self.chance * float(np.mean(self.values))

    def vary(self, first: Optional[int] = None) -> bool:
        """Whether the (first so many) values say anything of a normal law's width."""
        return len(set(self.values[:first])) > 1

    def any_law(self, confidence: float) -> Interval:
        """Holds whatever the law of the drops, at every number of trials."""
        low, high = any_law_interval(self.values, *self._range, confidence)
        return Interval(self.chance * low, self.chance * high)

    def normal(self, confidence: float, pilot: Optional[int] = None) -> Interval:
        """Holds if drops are near normal (Student's t; with ``pilot``, Stein's after a two-stage
        sample). Where all are equal, which says nothing of such a law, :meth:`any_law`."""
        if not self.vary(pilot):
            return self.any_law(confidence)
        if pilot is not None and len(self.values) > pilot:
            interval = stein_interval(self.values, pilot, confidence)
        else:
            interval = t_interval(self.values, confidence)
        low, high = self._range
        ends = max(interval.low, low), min(interval.high, high)
        return Interval(self.chance * ends[0], self.chance * ends[1])

    def exceeding(self, limit: float) -> float:
        """Probability that a fault map costs more than ``limit`` points, as estimated."""
        return self.chance * self._above(limit) / len(self.values)

    def exceeding_interval(self, limit: float, confidence: float) -> Interval:
        """Exact (Clopper and Pearson)."""
        low, high = clopper_pearson(self._above(limit), len(self.values), confidence)
        return Interval(self.chance * low, self.chance * high)

    def trials_for_margin(self, margin: float, pilot: int, confidence: float) -> int:
        """Trials in all for a normal interval of that half-width."""
        first, margin = self.values[:pilot], margin / self.chance
        return trials_for_margin(first, margin, confidence, _MANY)

    def scaled(self) -> Tuple[float, ...]:
        """Values whose mean is the mean drop."""
        return tuple(self.chance * value for value in self.values)

    def _above(self, limit: float) -> int:
        return sum(value > limit for value in self.values)

    @property
    def _range(self) -> Tuple[float, float]:
        return self.golden - 100.0, self.golden


def drops_of(
    results: Sequence[TrialResult],
    golden: TrialResult,
    architecture: int,
    population: Optional[Population],
) -> Drops:
    """Of trials at one BER; ``population``: the memory that they were drawn conditionally of, None
    of plain ones."""
    rows, before = Rows.of(results), golden.metrics[architecture]
    values = tuple((before - rows.metric(architecture)).tolist())
    if population is None:
        return Drops(values, before)
    return Drops(values, before, population.chance(float(rows.ber[0])), True)


@dataclass(frozen=True)
class Differences:
    """``values`` in ``low`` ... ``high``, of pairs of trials of which each is independent of every
    other."""

    values: Tuple[float, ...]
    low: float
    high: float

    def any_law(self, confidence: float) -> Interval:
        """As :meth:`Drops.any_law`."""
        return any_law_interval(self.values, self.low, self.high, confidence)

    def normal(self, confidence: float) -> Interval:
        """As :meth:`Drops.normal`; of equal differences, :meth:`any_law`."""
        if len(set(self.values)) == 1:
            return self.any_law(confidence)
        interval = t_interval(self.values, confidence)
        return Interval(max(interval.low, self.low), min(interval.high, self.high))
