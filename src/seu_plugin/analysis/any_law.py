"""An interval of a mean that holds whatever the law, for values in a known range. No torch.

Whoever bets at fair odds that the mean is not m cannot expect to win: his wealth exceeds 1 / alpha
at some time with a probability of at most alpha if it is m after all (Ville, 1939). The interval
holds every m against which the bets have not won so much (Waudby-Smith and Ramdas, Estimating means
of bounded random variables by betting, JRSS B 86, 2024). It holds at every number of trials, and
also if one looks after each of them and stops when one likes: it is a confidence sequence.

The bets: of the values x in [0, 1], a share b of the wealth on x / m and the rest on
(1 - x) / (1 - m), b spread over [0, 1] (Cover's universal portfolio; Orabona and Jun, Tight
concentrations and confidence sequences from the regret of universal portfolio, 2021), a quarter
each on b = 0 and b = 1, which win against a mean far from values that are all alike. The wealth is
a convex function of m, so that the set is an interval; the order of trials does not matter.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Callable, Tuple

import numpy as np
import numpy.typing as npt

from .intervals import Interval

Floats = npt.NDArray[np.float64]
_SHARES = 64
_STEPS = 40


@lru_cache(maxsize=4096)
def any_law_interval(
    values: Tuple[float, ...], low: float, high: float, confidence: float
) -> Interval:
    """Interval of the mean of independent values of one law over ``low`` ... ``high``. Never of
    width 0."""
    return any_law_of(np.array(values, dtype=np.float64), low, high, confidence)


def any_law_of(values: Floats, low: float, high: float, confidence: float) -> Interval:
    """The same, for many values: nothing is kept of them."""
    if not values.size or high <= low:
        return Interval(low, high)
    found, counts = np.unique(values, return_counts=True)
    x = np.clip((found - low) / (high - low), 0.0, 1.0)
    mean = float((x * counts).sum() / counts.sum())
    limit = -math.log1p(-confidence)

    def excluded(m: float) -> bool:
        return _log_wealth(x, counts, m) >= limit

    ends = (_boundary(excluded, mean, end) for end in (0.0, 1.0))
    return Interval(*(low + (high - low) * end for end in ends))


def _boundary(excluded: Callable[[float], bool], inside: float, end: float) -> float:
    """Where between ``inside`` and ``end`` the interval ends, rounded outwards."""
    outside = end
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        if middle in (inside, outside) or middle <= 0.0 or middle >= 1.0:
            break
        if excluded(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _log_wealth(x: Floats, counts: npt.NDArray[np.int64], m: float) -> float:
    share, prior = _bets()
    gains = share[:, None] * (x / m) + (1.0 - share[:, None]) * ((1.0 - x) / (1.0 - m))
    with np.errstate(divide="ignore"):
        logs = np.log(gains) @ counts + prior
    return float(np.logaddexp.reduce(logs))


@lru_cache(maxsize=1)
def _bets() -> Tuple[Floats, Floats]:
    """Shares b, and the logarithm of what is bet with each."""
    middle = np.sin(np.pi * (np.arange(_SHARES) + 0.5) / (2 * _SHARES)) ** 2
    share = np.array([0.0, *middle, 1.0])
    prior = np.array([0.25, *np.full(_SHARES, 0.5 / _SHARES), 0.25])
    return share, np.log(prior)
