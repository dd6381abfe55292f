"""The BER at which accuracy has dropped by so much: where to look next, and what is known.

At each BER the drops of n fault maps give a mean and a t interval of half-width h. The BERs at
which a t test does not reject "the mean drop is max_drop" are the confidence set of the threshold
(test inversion): between the crossing of mean + h and that of mean - h. All three crossings are
bracketed by bisection in log BER; the fault maps are the same at each BER (common random numbers,
nested), so that the mean is nearly monotone. The ends of the interval are the outer ends of the
brackets: interpolation cannot make it too narrow. No torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .intervals import half_width

HIGHEST = 0.5  # beyond it, more upsets make memory less random
LOWEST = 1e-15
_MOST = 60  # BERs evaluated in a search, before it gives up
_DIGITS = 3

#: BER -> drops in percentage points, one for each trial.
Drops = Mapping[float, Sequence[float]]


@dataclass(frozen=True)
class Threshold:
    """The BER at which the mean accuracy drop is ``max_drop`` percentage points.

    ``ber`` is interpolated in log BER (and log drop, where drops are above 0); ``low`` and ``high``
    enclose it with ``confidence``. None: no BER that was evaluated lies on that side (``low``: the
    drop is never shown to be less, ``high``: never shown to be more). ``reached``: whether the mean
    is ``max_drop`` or more at any.
    """

    max_drop: float
    confidence: float
    ber: Optional[float]
    low: Optional[float]
    high: Optional[float]
    reached: bool = True

    def sentence(self, of: str = "") -> str:
        """For people, as a sentence without its full stop. ``of``: whose accuracy it is."""
        drop = f"{self.max_drop:g} percentage point{'' if self.max_drop == 1 else 's'}"
        if self.ber is not None:
            return f"accuracy{of} has dropped by {drop} at {self.text()}"
        at = "already at the lowest BER" if self.reached else "at no BER"
        return f"accuracy{of} has dropped by {drop} on average {at} that was evaluated"

    def text(self) -> str:
        """The BER for people, with its interval."""
        sure = f"{100 * self.confidence:g} % interval"
        if self.ber is None:
            return f"{'below' if self.reached else 'above'} every BER that was evaluated"
        low = "unbounded" if self.low is None else f"{self.low:.3g}"
        high = "unbounded" if self.high is None else f"{self.high:.3g}"
        return f"BER {self.ber:.3g} ({sure} {low} ... {high})"


def estimate(drops: Drops, max_drop: float, confidence: float) -> Threshold:
    """What the drops at the BERs evaluated so far say of the threshold."""
    lower, mean, upper = _curves(drops, confidence)
    first, middle, last = (
        _bracket(upper, max_drop),
        _bracket(mean, max_drop),
        _bracket(lower, max_drop, last=True),
    )
    return Threshold(
        max_drop,
        confidence,
        ber=_interpolated(mean, middle, max_drop),
        low=first[0],
        high=last[1],
        reached=any(value >= max_drop for _, value in mean),
    )


def next_bers(drops: Drops, max_drop: float, confidence: float, tolerance: float) -> List[float]:
    """BERs to evaluate before the threshold is known to ``tolerance`` decades; none: it is."""
    if len(drops) >= _MOST:
        return []
    lower, mean, upper = _curves(drops, confidence)
    wanted: Dict[float, None] = {}
    for curve, last in ((upper, False), (mean, False), (lower, True)):
        ber = _between(_bracket(curve, max_drop, last), tolerance)
        if ber is not None and ber not in drops:
            wanted[ber] = None
    return sorted(wanted)


Curve = List[Tuple[float, float]]
Bracket = Tuple[Optional[float], Optional[float]]


def _curves(drops: Drops, confidence: float) -> Tuple[Curve, Curve, Curve]:
    lower, mean, upper = [], [], []
    for ber in sorted(drops):
        middle, half = float(np.mean(drops[ber])), half_width(drops[ber], confidence)
        lower.append((ber, middle - half))
        mean.append((ber, middle))
        upper.append((ber, middle + half))
    return lower, mean, upper


def _bracket(curve: Curve, level: float, last: bool = False) -> Bracket:
    """The neighbouring BERs between which ``curve`` first (last) rises through ``level``."""
    above = [value >= level for _, value in curve]
    if last:  # above from here on
        start = len(above)
        while start > 0 and above[start - 1]:
            start -= 1
    else:
        start = above.index(True) if True in above else len(above)
    left = curve[start - 1][0] if start > 0 else None
    right = curve[start][0] if start < len(curve) else None
    return left, right


def _between(bracket: Bracket, tolerance: float) -> Optional[float]:
    """A BER inside the bracket, or beyond the end that is open."""
    left, right = bracket
    if left is None and right is None:
        return None
    if left is None:
        assert right is not None
        return None if right <= LOWEST else _rounded(max(right / 10.0, LOWEST))
    if right is None:
        return None if left >= HIGHEST else _rounded(min(left * 10.0, HIGHEST))
    if math.log10(right / left) <= tolerance:
        return None
    middle = _rounded(math.sqrt(left * right))
    return middle if left < middle < right else None


def _rounded(ber: float) -> float:
    """With few digits, so that it can be written down."""
    return float(f"{ber:.{_DIGITS - 1}e}")


def _interpolated(curve: Curve, bracket: Bracket, level: float) -> Optional[float]:
    left, right = bracket
    if left is None or right is None:
        return None
    values = dict(curve)
    low, high = values[left], values[right]
    if low > 0.0:  # drops rise as a power of the BER while upsets are few
        low, high, level = math.log(low), math.log(high), math.log(level)
    share = (level - low) / (high - low)
    return float(left * (right / left) ** share)
