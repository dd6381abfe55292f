"""Between which neighbouring BERs a curve passes a level. No torch."""

from __future__ import annotations

import math
from typing import List, Optional, Sequence, Tuple

#: (BER, drop), by BER.
Line = Sequence[Tuple[float, float]]
#: Neighbouring BERs; None: beyond the lowest, or the highest.
Bracket = Tuple[Optional[float], Optional[float]]


def first_rise(line: Line, level: float) -> Bracket:
    """Where ``line`` is at ``level`` or above for the first time."""
    above = [value >= level for _, value in line]
    return _around(line, above.index(True) if True in above else len(line))


def last_rise(line: Line, level: float) -> Bracket:
    """Where ``line`` begins to be at ``level`` or above for good."""
    start = len(line)
    while start > 0 and line[start - 1][1] >= level:
        start -= 1
    return _around(line, start)


def passes(line: Line, level: float) -> List[Bracket]:
    """Where ``line`` passes ``level``, upwards or downwards; or the one end that it must pass it
    beyond."""
    above = [value >= level for _, value in line]
    found = [_around(line, i) for i in range(1, len(line)) if above[i] != above[i - 1]]
    return found or [first_rise(line, level)]


def interpolated(line: Line, bracket: Bracket, level: float) -> Optional[float]:
    """The BER at which it does, in log BER and, where both drops are above 0, log drop: drops rise
    as a power of the BER while upsets are few. None of a bracket that is open."""
    left, right = bracket
    if left is None or right is None:
        return None
    values = dict(line)
    low, high = values[left], values[right]
    if min(low, high) > 0.0:
        low, high, level = math.log(low), math.log(high), math.log(level)
    share = (level - low) / (high - low) if high != low else 0.5  # the level is between them
    return float(left * (right / left) ** share)


def width(bracket: Bracket) -> float:
    """In decades; infinite of one that is open."""
    left, right = bracket
    return math.inf if left is None or right is None else math.log10(right / left)


def _around(line: Line, right: int) -> Bracket:
    return (
        line[right - 1][0] if right > 0 else None,
        line[right][0] if right < len(line) else None,
    )
