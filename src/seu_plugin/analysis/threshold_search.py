"""Where to look next for the BER at which accuracy has dropped by so much. No torch.

Trials at one BER cost about as much as at any other, so that the best place for more of them is
where they can take most off what is not known: the middle, in log BER, of the widest bracket. What
the curve tells between the BERs drawn counts, so that a bracket may close without a trial in it.
All crossings of the mean and the ends of the headline interval are bracketed to the tolerance, the
ends of the others to a decade. The fault maps are the same at each BER (common random numbers,
nested), so that the mean is nearly monotone.
"""

from __future__ import annotations

import math
from typing import List, Optional, Sequence

from .brackets import Bracket, first_rise, last_rise, passes, width
from .threshold import At, Ends, lines_of

HIGHEST = 0.5  # beyond it, more upsets make memory less random
LOWEST = 1e-15
MOST = 60  # BERs that a search adds, before it gives up
_DIGITS = 3
_FAR = 1.0  # decades


def next_bers(
    known: Sequence[At],
    drawn: Sequence[float],
    max_drop: float,
    tolerance: float,
    conditional: bool = True,
    highest: float = HIGHEST,
) -> List[float]:
    """BERs up to ``highest`` to evaluate before the threshold is known to ``tolerance`` decades;
    none: it is. ``drawn``: the BERs that trials were drawn at. Those that lie within a decade of a
    better one wait for what it tells.

    Of plain trials (not ``conditional``), intervals for any law are never low, however rare upsets
    are: their ends are not looked for, nor anything below a BER where all trials are equal.
    """
    lines = lines_of(known)
    images = bool(lines.two_way.lower)
    headline = lines.two_way if images else lines.normal
    near = [*passes(lines.mean, max_drop), *_ends(headline, max_drop)]
    others = [*([lines.normal] if images else []), *([lines.any_law] if conditional else [])]
    far = [bracket for ends in others for bracket in _ends(ends, max_drop)]
    equal = {at.ber for at in known if not at.vary}
    lowest = LOWEST if conditional or known[0].vary else known[0].ber
    for brackets, near_to in ((near, tolerance), (far, max(tolerance, _FAR))):
        # An end that is made of one for any law says little of where: a decade is near enough.
        wide = [max(near_to, _FAR) if bracket[1] in equal else near_to for bracket in brackets]
        inside = [_inside(*pair, lowest, highest) for pair in zip(brackets, wide)]
        found = _chosen(brackets, inside, drawn)
        if found:
            return found
    return []


def _ends(ends: Ends, level: float) -> List[Bracket]:
    return [first_rise(ends.upper, level), last_rise(ends.lower, level)]


def _chosen(
    brackets: Sequence[Bracket], inside: Sequence[Optional[float]], drawn: Sequence[float]
) -> List[float]:
    chosen: List[float] = []
    for _, ber in sorted(zip(map(width, brackets), inside), key=lambda pair: -pair[0]):
        alone = all(abs(math.log10(ber / other)) > _FAR for other in chosen) if ber else False
        if ber is not None and ber not in drawn and alone:
            chosen.append(ber)
    return sorted(chosen)


def _inside(bracket: Bracket, tolerance: float, lowest: float, highest: float) -> Optional[float]:
    """A BER inside the bracket, or beyond the end that is open; None: it is narrow enough."""
    left, right = bracket
    if left is None and right is None:
        return None
    if left is None:
        assert right is not None
        return None if right <= lowest else _rounded(max(right / 10.0, lowest))
    if right is None:
        return None if left >= highest else min(_rounded(left * 10.0), highest)
    if width(bracket) <= tolerance * (1.0 + 1e-9):  # points of the curve lie just so far apart
        return None
    middle = _rounded(math.sqrt(left * right))
    return middle if left < middle < right else None


def _rounded(ber: float) -> float:
    """With few digits, so that it can be written down."""
    return float(f"{ber:.{_DIGITS - 1}e}")
