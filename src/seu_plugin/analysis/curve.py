"""The mean drop at every BER, from conditional trials at a few. No torch.

Given how many units and cells are struck, a trial's law does not depend on the BER. So a trial that
was drawn at one BER counts at another with the ratio of its probabilities there and under the
mixture of all BERs that trials were drawn at (the balance heuristic of multiple importance
sampling; Veach and Guibas, SIGGRAPH 1995): unbiased, and of bounded weights. Weights are 1 on
average; where they are not, no trial has about as many struck cells as the BER would make, and
there is no point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..faults.population import Population
from .columns import Rows
from .intervals import Interval, t_quantile
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
    """Conditional trials of one architecture, at several BERs.

    Trials of one number are coupled: the unit of the interval is the number, with the trials that
    it has. Numbers that have trials at the same BERs are of one stratum; the sum over all trials is
    one over strata, and so is its variance. A stratum of one number says nothing of that, and is
    left out.
    """

    def __init__(
        self,
        results: Sequence[TrialResult],
        population: Population,
        golden: float,
        architecture: int,
    ) -> None:
        rows = Rows.of(results)
        self._population = population
        self.bers: List[float] = []
        self._strata: List[Tuple[Floats, Floats]] = []  # drops and struck, by number and BER
        self._mixtures: List[Floats] = []
        counts: Dict[float, int] = {}
        by_ber = rows.where(rows.is_struck).by_ber()
        for bers, numbers in _designs(by_ber):
            at = [by_ber[ber].where(np.isin(by_ber[ber].number, numbers)) for ber in bers]
            drops = golden - np.stack([one.metric(architecture) for one in at], axis=1)
            self._strata.append((drops, np.stack([one.struck() for one in at], axis=1)))
            counts.update((ber, counts.get(ber, 0) + len(numbers)) for ber in bers)
        self.bers = sorted(counts)
        self._trials = sum(counts.values())
        for _, struck in self._strata:
            shares = [math.log(counts[ber] / self._trials) for ber in self.bers]
            drawn = [population.log_densities(ber, struck) for ber in self.bers]
            weighted = np.stack([share + one for share, one in zip(shares, drawn)])
            self._mixtures.append(np.logaddexp.reduce(weighted, axis=0))

    def point(self, ber: float, confidence: float) -> Optional[CurvePoint]:
        """Between the lowest and the highest BER drawn; None where too few trials count."""
        total = squares = drop = variance = uncertain = 0.0
        for (drops, struck), mixture in zip(self._strata, self._mixtures):
            weights = np.exp(self._population.log_densities(ber, struck) - mixture)
            total, squares = total + float(weights.sum()), squares + float((weights**2).sum())
            of_numbers = (weights * drops).sum(axis=1) / self._trials
            drop += float(of_numbers.sum())
            if of_numbers.min() < of_numbers.max():
                of_sum = len(of_numbers) * float(of_numbers.var(ddof=1))
                variance += of_sum
                uncertain += of_sum**2 / (len(of_numbers) - 1)
        if total == 0.0 or abs(total / self._trials - 1.0) > _OFF:
            return None
        effective = total**2 / squares
        if effective < _FEWEST:
            return None
        chance = self._population.chance(ber)
        if variance == 0.0:
            return CurvePoint(ber, chance * drop, None, None, effective)
        # Degrees of freedom of a sum of variances (Welch, Biometrika 34, 1947).
        half = t_quantile(1.0 + variance**2 / uncertain, confidence) * math.sqrt(variance)
        ends = chance * (drop - half), chance * (drop + half)
        return CurvePoint(ber, chance * drop, *ends, effective)

    def points(self, confidence: float, decades: float) -> List[CurvePoint]:
        """At the BERs drawn, and between them no further apart than so many ``decades``."""
        found = [self.point(ber, confidence) for ber in _grid(self.bers, decades)]
        return [point for point in found if point is not None]


def _designs(by_ber: Mapping[float, Rows]) -> List[Tuple[Tuple[float, ...], List[int]]]:
    """BERs, and the numbers that have trials at just these, if there are two or more."""
    of_number: Dict[int, List[float]] = {}
    for ber in sorted(by_ber):
        for number in by_ber[ber].number.tolist():
            of_number.setdefault(number, []).append(ber)
    found: Dict[Tuple[float, ...], List[int]] = {}
    for number in sorted(of_number):
        found.setdefault(tuple(of_number[number]), []).append(number)
    return [(bers, numbers) for bers, numbers in found.items() if len(numbers) > 1]


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
