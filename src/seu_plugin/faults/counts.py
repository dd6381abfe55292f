"""How many upsets a fault map has: Binomial(bits, BER), exact and alike on every platform.

The count of stream v1 is the inverse of the binomial distribution function at a 64-bit word.
The distribution function is a table of 64-bit integers computed with Python integers from the
float64 BER, which is a rational number; no platform's ``log`` or ``exp`` takes part. Each
probability P(n <= k) is met to within 2**-64.
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from functools import lru_cache
from typing import List, Tuple

_SCALE = 1 << 256  # weight of the mode; others are relative to it
_NEGLIGIBLE = 1 << 160  # 2**-96 of the mode: what lies beyond adds up to less than 2**-64
_WORD = 1 << 64


@lru_cache(maxsize=128)
def binomial_thresholds(bits: int, ber: float, least: int = 0) -> Tuple[int, List[int]]:
    """The distribution function of Binomial(``bits``, ``ber``), given that it is ``least`` or more,
    as 64-bit integers.

    Returns ``(first, thresholds)`` with P(n <= first + j) = thresholds[j] / 2**64, rounded
    down, one for each count with a visible probability. Needs 0 < ber < 1.
    Takes O(sqrt(bits * ber)) steps: weights of neighbouring counts have rational ratios.
    """
    p = Fraction(ber)
    hit, miss = p.numerator, p.denominator - p.numerator
    mode = max(least, min(bits, (bits + 1) * hit // p.denominator))
    below: List[int] = []
    weight, n = _SCALE, mode
    while n > least and weight > _NEGLIGIBLE:
        weight = weight * n * miss // ((bits - n + 1) * hit)
        n -= 1
        below.append(weight)
    first = n
    weights = [*reversed(below), _SCALE]
    weight, n = _SCALE, mode
    while n < bits and weight > _NEGLIGIBLE:
        weight = weight * (bits - n) * hit // ((n + 1) * miss)
        n += 1
        weights.append(weight)
    total = sum(weights)
    thresholds: List[int] = []
    cumulative = 0
    for weight in weights:
        cumulative += weight
        threshold = (cumulative << 64) // total
        if threshold >= _WORD:
            break
        thresholds.append(threshold)
    return first, thresholds


def upset_count(word: int, bits: int, ber: float, least: int = 0) -> int:
    """Upsets among ``bits`` stored bits for the random 64-bit ``word``: Binomial(bits, ber), given
    that it is ``least`` or more.

    For one ``word``, the count does not decrease with ``ber``: maps at different BERs nest.
    """
    if ber <= 0.0 or bits == 0:
        return 0
    if ber >= 1.0:
        return bits
    first, thresholds = binomial_thresholds(bits, ber, least)
    return first + bisect_right(thresholds, word)
