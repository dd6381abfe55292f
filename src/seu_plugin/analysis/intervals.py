"""Intervals for what a campaign measures. No torch.

The unit of sampling is the fault map: all images of one trial see the same upsets, so they are
not independent trials, and no interval here counts them as such.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Sequence, Union

import numpy as np
import numpy.typing as npt
from scipy import special  # scipy.stats takes a third of a second to import

Values = Union[Sequence[float], npt.NDArray[np.float64]]


class Interval(NamedTuple):
    low: float
    high: float


def t_quantile(trials: float, confidence: float) -> float:
    """Two-sided quantile of Student's t with ``trials`` - 1 degrees of freedom."""
    return float(special.stdtrit(trials - 1, (1.0 + confidence) / 2.0))


def half_width(values: Values, confidence: float) -> float:
    """Half the width of the t interval of the mean; infinite for fewer than two values."""
    n = len(values)
    if n < 2:
        return math.inf
    return t_quantile(n, confidence) * float(np.std(values, ddof=1)) / math.sqrt(n)


def t_interval(values: Values, confidence: float) -> Interval:
    """Interval of the mean of independent, roughly normal values (Student)."""
    mean, half = float(np.mean(values)), half_width(values, confidence)
    return Interval(mean - half, mean + half)


def clopper_pearson(hits: int, trials: int, confidence: float) -> Interval:
    """Exact interval of a probability (Clopper and Pearson, 1934): coverage is never less."""
    from scipy import stats  # of old scipy, special.betaincinv is not as exact

    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(stats.beta.ppf(1.0 - tail, hits + 1, trials - hits))
    return Interval(low, high)


def trials_for_margin(
    pilot: Sequence[float], margin: float, confidence: float, max_trials: int
) -> int:
    """Trials in all that make the t interval no wider than ``margin`` on either side.

    Stein's two-stage sample (Annals of Mathematical Statistics 16, 1945): the pilot's variance
    fixes the number, and with :func:`stein_interval` coverage stays nominal, which it does not
    when one looks after every trial and stops at a lucky moment.
    """
    n = len(pilot)
    wanted = (t_quantile(n, confidence) * float(np.std(pilot, ddof=1)) / margin) ** 2
    return min(max_trials, max(n, math.ceil(wanted)))


def stein_interval(values: Sequence[float], pilot: int, confidence: float) -> Interval:
    """Interval of the mean whose width comes from the first ``pilot`` values alone."""
    error = float(np.std(values[:pilot], ddof=1)) / math.sqrt(len(values))
    mean, half = float(np.mean(values)), t_quantile(pilot, confidence) * error
    return Interval(mean - half, mean + half)


def sample_size(population: int, margin: float, confidence: float, proportion: float = 0.5) -> int:
    """Single faults to inject, out of ``population`` possible ones, to know the proportion that
    does harm to within ``margin`` (both in 0 ... 1).

    Leveugle et al., Statistical fault injection: quantified error and confidence, DATE 2009,
    equation 4; proportion 0.5 is the worst case.
    """
    t = float(special.ndtri((1.0 + confidence) / 2.0))
    spread = t * t * proportion * (1.0 - proportion)
    return math.ceil(population / (1.0 + margin * margin * (population - 1) / spread))
