"""The mean drop at every BER, from conditional trials at a few. No torch.

Given how many units and cells are struck, a trial's law does not depend on the BER. So a trial that
was drawn at one BER counts at another with the ratio of its probabilities there and under the
mixture of all BERs that trials were drawn at (the balance heuristic of multiple importance
sampling; Veach and Guibas, SIGGRAPH 1995): unbiased, and of bounded weights. Weights are 1 on
average; where they are not, no trial has about as many struck cells as the BER would make, and
there is no point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..faults.population import Population
from .columns import Rows, common_numbers
from .intervals import Interval, t_interval
from .trials import TrialResult

Floats = npt.NDArray[np.float64]
#: Decades between points.
_FINEST, _COARSEST = 0.01, 0.1
#: As many trials as must count at a BER, by the effective sample size.
_FEWEST = 10.0
#: How far the mean of the weights may be from 1.
_OFF = 0.3


@dataclass(frozen=True)
class CurvePoint:
    """``drop`` in percentage points at ``ber``, with its near-normal interval over trial numbers
    (None where all are equal); ``effective``: as many trials as count there (Kish)."""

    ber: float
    drop: float
    low: Optional[float]
    high: Optional[float]
    effective: float

    @property
    def interval(self) -> Optional[Interval]:
        if self.low is None or self.high is None:
            return None
        return Interval(self.low, self.high)


class Trials:
    """Conditional trials of one architecture, of the numbers that were run at each of several
    BERs."""

    def __init__(
        self,
        results: Sequence[TrialResult],
        population: Population,
        golden: float,
        architecture: int,
    ) -> None:
        rows = Rows.of(results)
        by_ber = rows.where(rows.is_struck).by_ber()
        numbers = common_numbers([*by_ber.values()])
        self._population = population
        self.bers = [*by_ber] if len(numbers) > 1 else []
        if not self.bers:
            return
        chosen = [at.where(np.isin(at.number, numbers)) for at in by_ber.values()]
        self._drops: Floats = golden - np.stack([at.metric(architecture) for at in chosen], axis=1)
        self._struck: Floats = np.stack([at.struck() for at in chosen], axis=1)
        drawn = np.stack([population.log_densities(ber, self._struck) for ber in self.bers])
        self._mixture = np.logaddexp.reduce(drawn, axis=0) - np.log(len(self.bers))

    def point(self, ber: float, confidence: float) -> Optional[CurvePoint]:
        """Between the lowest and the highest BER drawn; None where too few trials count."""
        weights = np.exp(self._population.log_densities(ber, self._struck) - self._mixture)
        if not weights.any() or abs(float(weights.mean()) - 1.0) > _OFF:
            return None
        effective = float(weights.sum() ** 2 / (weights**2).sum())
        if effective < _FEWEST:
            return None
        drops = self._population.chance(ber) * (weights * self._drops).mean(axis=1)
        low, high = t_interval(drops, confidence) if drops.min() < drops.max() else (None, None)
        return CurvePoint(ber, float(drops.mean()), low, high, effective)

    def points(self, confidence: float, decades: float) -> List[CurvePoint]:
        """At the BERs drawn, and between them no further apart than so many ``decades``."""
        found = [self.point(ber, confidence) for ber in _grid(self.bers, decades)]
        return [point for point in found if point is not None]


def curve(
    results: Sequence[TrialResult],
    population: Optional[Population],
    golden: Sequence[float],
    architecture: int,
    confidence: float,
    tolerance: float = _COARSEST,
) -> Tuple[CurvePoint, ...]:
    """Points between the lowest and the highest BER of conditional trials, none of plain ones. They
    are as many decades apart as the ``tolerance`` of a threshold that is read from them, within
    0.01 ... 0.1."""
    if population is None:
        return ()
    trials = Trials(results, population, golden[architecture], architecture)
    return tuple(trials.points(confidence, min(max(tolerance, _FINEST), _COARSEST)))


def _grid(bers: Sequence[float], decades: float) -> List[float]:
    if not bers:
        return []
    between = np.geomspace(
        bers[0], bers[-1], 2 + int(np.ceil(np.log10(bers[-1] / bers[0]) / decades))
    )
    return sorted({*bers, *map(float, between[1:-1])})
