"""Where to look next for the BER at which accuracy has dropped by so much. No torch.

Trials at one BER cost about as much as at any other, so that the best place for more of them is
where they can take most off what is not known: the middle, in log BER, of the widest bracket. What
the curve tells between the BERs drawn counts, so that a bracket may close without a trial in it.
All crossings of the mean, and the ends of the near-normal and the two-way interval, are bracketed
to the tolerance; then the ends for any law, which lie far apart, to a decade. The fault maps are
the same at each BER (common random numbers, nested), so that the mean is nearly monotone.
"""

from __future__ import annotations

import math
from typing import List, Optional, Sequence

from .brackets import Bracket, first_rise, last_rise, passes, width
from .threshold import At, Ends, lines_of

HIGHEST = 0.5  # beyond it, more upsets make memory less random
LOWEST = 1e-15
_MOST = 60  # BERs evaluated in a search, before it gives up
_DIGITS = 3
_FAR = 1.0  # decades


def next_bers(
    known: Sequence[At],
    drawn: Sequence[float],
    max_drop: float,
    tolerance: float,
    any_law: bool = True,
    highest: float = HIGHEST,
) -> List[float]:
    """BERs up to ``highest`` to evaluate before the threshold is known to ``tolerance`` decades;
    none: it is. ``drawn``: the BERs that trials were drawn at; ``any_law``: whether the interval
    for any law is looked for. Those that lie within a decade of a better one wait for what it
    tells."""
    if len(drawn) >= _MOST:
        return []
    lines = lines_of(known)
    near = [*passes(lines.mean, max_drop), *_ends(lines.normal, max_drop)]
    near += _ends(lines.two_way, max_drop) if lines.two_way.lower else []
    found = _chosen(near, drawn, tolerance, highest)
    if not found and any_law:
        far = _ends(lines.any_law, max_drop)
        found = _chosen(far, drawn, max(tolerance, _FAR), highest)
    return found


def _ends(ends: Ends, level: float) -> List[Bracket]:
    return [first_rise(ends.upper, level), last_rise(ends.lower, level)]


def _chosen(
    brackets: Sequence[Bracket], drawn: Sequence[float], tolerance: float, highest: float
) -> List[float]:
    chosen: List[float] = []
    for bracket in sorted(brackets, key=width, reverse=True):
        ber = _inside(bracket, tolerance, highest)
        alone = all(abs(math.log10(ber / other)) > _FAR for other in chosen) if ber else False
        if ber is not None and ber not in drawn and alone:
            chosen.append(ber)
    return sorted(chosen)


def _inside(bracket: Bracket, tolerance: float, highest: float) -> Optional[float]:
    """A BER inside the bracket, or beyond the end that is open; None: it is narrow enough."""
    left, right = bracket
    if left is None and right is None:
        return None
    if left is None:
        assert right is not None
        return None if right <= LOWEST else _rounded(max(right / 10.0, LOWEST))
    if right is None:
        return None if left >= highest else min(_rounded(left * 10.0), highest)
    if width(bracket) <= tolerance * (1.0 + 1e-9):  # points of the curve lie just so far apart
        return None
    middle = _rounded(math.sqrt(left * right))
    return middle if left < middle < right else None


def _rounded(ber: float) -> float:
    """With few digits, so that it can be written down."""
    return float(f"{ber:.{_DIGITS - 1}e}")
