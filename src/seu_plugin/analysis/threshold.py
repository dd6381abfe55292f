"""The BER at which accuracy has dropped by so much: where to look next, and what is known.

At each BER the drops of n fault maps give a mean, a t interval, and one that holds whatever the law
of drops. The BERs whose interval holds max_drop are the confidence set of the threshold (test
inversion): between the first crossing of the upper ends and the last one of the lower ends. All
crossings are bracketed by bisection in log BER, those for any law, which lie far apart, to a decade
only; the fault maps are the same at each BER (common random numbers, nested), so that the mean is
nearly monotone. The ends of the intervals are the outer ends of the brackets: interpolation cannot
make them too narrow. No torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from .drops import Drops
from .intervals import half_width

HIGHEST = 0.5  # beyond it, more upsets make memory less random
LOWEST = 1e-15
_MOST = 60  # BERs evaluated in a search, before it gives up
_DIGITS = 3
_FAR = 1.0  # decades

#: BER -> the drops there.
ByBer = Mapping[float, Drops]


@dataclass(frozen=True)
class Threshold:
    """The BER at which the mean accuracy drop is ``max_drop`` percentage points.

    ``ber`` is interpolated in log BER (and log drop, where drops are above 0); ``low`` and ``high``
    enclose it with ``confidence`` if the drops of fault maps are near normal, ``any_law_low`` and
    ``any_law_high`` whatever their law. None: no BER that was evaluated lies on that side (``low``:
    the drop is never shown to be less, ``high``: never shown to be more). ``reached``: whether the
    mean is ``max_drop`` or more at any. ``crossings``: how often the mean rises through
    ``max_drop``; ``ber`` is the first of them.
    """

    max_drop: float
    confidence: float
    ber: Optional[float]
    low: Optional[float]
    high: Optional[float]
    reached: bool = True
    crossings: int = 1
    any_law_low: Optional[float] = None
    any_law_high: Optional[float] = None

    def sentence(self, of: str = "") -> str:
        """For people, as a sentence without its full stop. ``of``: whose accuracy it is."""
        drop = f"{self.max_drop:g} percentage point{'' if self.max_drop == 1 else 's'}"
        if self.ber is not None:
            more = "" if self.crossings < 2 else f", the first of {self.crossings} crossings"
            return f"mean accuracy{of} has dropped by {drop} at {self.text()}{more}"
        at = "already at the lowest BER" if self.reached else "at no BER"
        return f"mean accuracy{of} has dropped by {drop} {at} that was evaluated"

    def text(self) -> str:
        """The BER for people, with its interval."""
        sure = f"{100 * self.confidence:g} % interval"
        if self.ber is None:
            return f"{'below' if self.reached else 'above'} every BER that was evaluated"
        normal, any_law = _ends(self.low, self.high), _ends(self.any_law_low, self.any_law_high)
        return (
            f"BER {self.ber:.3g} ({sure}, for these images: {normal} if drops are near normal, "
            f"{any_law} for any law)"
        )


def _ends(low: Optional[float], high: Optional[float]) -> str:
    return " ... ".join("unbounded" if end is None else f"{end:.3g}" for end in (low, high))


def estimate(drops: ByBer, max_drop: float, confidence: float) -> Threshold:
    """What the drops at the BERs evaluated so far say of the threshold."""
    curves = _curves(drops, confidence)
    mean = curves.mean
    first, middle, last, any_first, any_last = (
        _bracket(curve, max_drop, is_last) for curve, is_last, _ in curves.searched(0.0)
    )
    return Threshold(
        max_drop,
        confidence,
        ber=_interpolated(mean, middle, max_drop),
        low=first[0],
        high=last[1],
        reached=any(value >= max_drop for _, value in mean),
        crossings=max(_rises(mean, max_drop), 1),
        any_law_low=any_first[0],
        any_law_high=any_last[1],
    )


def next_bers(
    drops: ByBer, max_drop: float, confidence: float, tolerance: float, highest: float = HIGHEST
) -> List[float]:
    """BERs up to ``highest`` to evaluate before the threshold is known to ``tolerance`` decades;
    none: it is."""
    if len(drops) >= _MOST:
        return []
    wanted: Dict[float, None] = {}
    # Of plain trials, the upper end for any law is never low, however rare upsets are.
    any_law = any(one.conditional for one in drops.values())
    for curve, last, near in _curves(drops, confidence).searched(tolerance, any_law):
        ber = _between(_bracket(curve, max_drop, last), near, highest)
        if ber is not None and ber not in drops:
            wanted[ber] = None
    return sorted(wanted)


Curve = List[Tuple[float, float]]
Bracket = Tuple[Optional[float], Optional[float]]


def _rises(curve: Curve, level: float) -> int:
    above = [value >= level for _, value in curve]
    return sum(now and not before for before, now in zip(above, above[1:]))


class _Curves(NamedTuple):
    """Ends of t intervals, the mean, and ends of intervals for any law, by BER."""

    lower: Curve
    mean: Curve
    upper: Curve
    any_lower: Curve
    any_upper: Curve

    def searched(self, tolerance: float, any_law: bool = True) -> List[Tuple[Curve, bool, float]]:
        """Curves whose crossings are looked for, whether the last one is, and how nearly."""
        far = max(tolerance, _FAR)
        return [
            (self.upper, False, tolerance),
            (self.mean, False, tolerance),
            (self.lower, True, tolerance),
            (self.any_upper, False, far),
            (self.any_lower, True, far),
        ][: 5 if any_law else 3]


def _curves(drops: ByBer, confidence: float) -> _Curves:
    curves = _Curves([], [], [], [], [])
    for ber in sorted(drops):
        one = drops[ber]
        middle, half = one.mean, one.chance * half_width(one.values, confidence)
        any_law = one.any_law(confidence)
        ends = (middle - half, middle, middle + half, any_law.low, any_law.high)
        for curve, end in zip(curves, ends):
            curve.append((ber, end))
    return curves


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


def _between(bracket: Bracket, tolerance: float, highest: float) -> Optional[float]:
    """A BER inside the bracket, or beyond the end that is open."""
    left, right = bracket
    if left is None and right is None:
        return None
    if left is None:
        assert right is not None
        return None if right <= LOWEST else _rounded(max(right / 10.0, LOWEST))
    if right is None:
        return None if left >= highest else min(_rounded(left * 10.0), highest)
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
