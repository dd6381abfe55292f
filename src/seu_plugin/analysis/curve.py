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
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..faults.population import Population
from .intervals import t_interval
from .trials import TrialResult

Floats = npt.NDArray[np.float64]
_A_DECADE = 10
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


def curve(
    results: Sequence[TrialResult],
    population: Optional[Population],
    golden: Sequence[float],
    architecture: int,
    confidence: float,
) -> Tuple[CurvePoint, ...]:
    """Points between the lowest and the highest BER of conditional trials; none of plain ones."""
    by_ber = _drawn(results)
    if population is None or not by_ber:
        return ()
    numbers = sorted(set.intersection(*(set(rows) for rows in by_ber.values())))
    bers = sorted(by_ber)
    if len(numbers) < 2:
        return ()
    rows = [[by_ber[ber][n] for ber in bers] for n in numbers]
    drops = np.array(
        [[golden[architecture] - r.metrics[architecture] for r in several] for several in rows]
    )
    struck = np.array([[r.struck for r in several] for several in rows], dtype=np.float64)
    drawn = np.stack([population.log_densities(ber, struck) for ber in bers])
    mixture = np.logaddexp.reduce(drawn, axis=0) - np.log(len(bers))
    points = []
    for ber in _grid(bers):
        weights = np.exp(population.log_densities(ber, struck) - mixture)
        effective = float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0
        if effective >= _FEWEST and abs(float(weights.mean()) - 1.0) <= _OFF:
            of_numbers = population.chance(ber) * (weights * drops).mean(axis=1)
            points.append(_point(ber, of_numbers, confidence, effective))
    return tuple(points)


def _drawn(results: Sequence[TrialResult]) -> Dict[float, Dict[int, TrialResult]]:
    found: Dict[float, Dict[int, TrialResult]] = {}
    for result in results:
        if result.trial.ber is not None and result.struck is not None:
            found.setdefault(result.trial.ber, {})[result.trial.number] = result
    return found


def _grid(bers: Sequence[float]) -> List[float]:
    decades = np.log10(bers[-1] / bers[0])
    between = np.geomspace(bers[0], bers[-1], 2 + int(np.ceil(_A_DECADE * decades)))
    return sorted({*bers, *map(float, between[1:-1])})


def _point(ber: float, drops: Floats, confidence: float, effective: float) -> CurvePoint:
    values = drops.tolist()
    mean = float(drops.mean())
    if len(set(values)) < 2:
        return CurvePoint(ber, mean, None, None, effective)
    low, high = t_interval(values, confidence)
    return CurvePoint(ber, mean, low, high, effective)
