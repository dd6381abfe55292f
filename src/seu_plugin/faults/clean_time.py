"""The share of a mission's time in which nothing can be read wrong: exact, without a trial. No
torch.

Of independent flips, each cell is wrong with the BER of its age; a memory with no dangerous unit
reads right. Where upsets are rare this says more than any number of missions that show none.
"""

from __future__ import annotations

import math
from typing import Callable

import numpy as np

from .itinerary import Itinerary
from .population import Population
from .rates import ber_after

#: Points of each integral over ages (Gauss and Legendre): smooth functions, to all digits.
_POINTS = 64


def clean_share(itinerary: Itinerary, population: Population, rate: str = "") -> float:
    """Of mode ``ber``, at the highest of the environments' rates, as a lower bound may; what reads
    correct in between is left out, too."""
    highest = max(often for _, often in itinerary.rates[rate])

    def absence(age: float) -> float:
        """-ln of the probability that a memory of that age has no dangerous unit."""
        return population.absence(ber_after(highest, age))

    period = min(itinerary.period, itinerary.duration)
    if itinerary.sweeping:  # all ages at any time, from the second round on; younger in the first
        return math.exp(-_integral(absence, period) / period)
    whole, rest = divmod(itinerary.duration, period)
    clean = [whole * _integral(lambda age: math.exp(-absence(age)), period)]
    if rest:
        clean.append(_integral(lambda age: math.exp(-absence(age)), rest))
    return min(math.fsum(clean) / itinerary.duration, 1.0)


def _integral(of: Callable[[float], float], end: float) -> float:
    """From 0 to ``end``."""
    points, weights = np.polynomial.legendre.leggauss(_POINTS)
    values = [of((1.0 + x) * end / 2.0) for x in points.tolist()]
    return float(np.dot(weights, values)) * end / 2.0
