"""Whether the parts add up: the drop that a sensitivity study foretells at a BER, beside the drop
that trials show there. No torch.

To first order, the mean drop at BER p is the sum over strata of p * bits * (drop per upset): each
stored bit is upset with probability p, and upsets do not know of each other. Where they do, or are
so many that accuracy has nowhere to fall, the sum is wrong: the check can fail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np
from scipy import special

from .by_ber import BerSummary
from .intervals import Interval

#: Percentage points up to which a sum of small drops is worth looking at.
MOST = 20.0


@dataclass(frozen=True)
class Stratum:
    """A part of the memory of so many stored bits (``words``: of one position, one a word), and of
    ``trials`` the mean ``drop`` per upset with its standard ``deviation``, in percentage points.
    Nothing is left to chance where every bit was tried (``exhaustive``)."""

    words: int
    trials: int
    drop: float
    deviation: float
    exhaustive: bool

    @classmethod
    def of(cls, words: int, drops: Sequence[float], exhaustive: bool) -> Stratum:
        """Of drops per upset, one a trial."""
        deviation = float(np.std(drops, ddof=1)) if len(drops) > 1 else 0.0
        return cls(words, len(drops), float(np.mean(drops)), deviation, exhaustive)


@dataclass(frozen=True)
class Additive:
    """At one BER, in percentage points: the ``foretold`` drop and the ``drop`` of the trials there,
    each with its near-normal interval. ``agree``: whether their difference may be chance, by the
    interval of that."""

    ber: float
    foretold: float
    foretold_interval: Interval
    drop: float
    drop_interval: Interval
    agree: bool


def additive(
    strata: Sequence[Stratum], bits: int, rows: Sequence[BerSummary], confidence: float
) -> Tuple[Additive, ...]:
    """At the BERs of ``rows`` (of one architecture) that the sum is worth comparing at; nothing if
    the strata are not the whole memory of ``bits``."""
    if not strata or sum(one.words for one in strata) != bits:
        return ()
    error, freedom = _error(strata)
    per_ber = sum(one.words * one.drop for one in strata)
    found: List[Additive] = []
    for row in rows:
        foretold = row.ber * per_ber
        if foretold > MOST:
            break
        half = _half(row.ber * error, freedom, confidence)
        interval = Interval(foretold - half, foretold + half)
        measured = row.drop_normal_interval
        wide = math.hypot(half, (measured.high - measured.low) / 2)
        agree = abs(foretold - row.drop) <= wide
        found.append(Additive(row.ber, foretold, interval, row.drop, measured, agree))
    return tuple(found)


def _error(strata: Sequence[Stratum]) -> Tuple[float, float]:
    """The standard error of the sum over strata at a BER of 1, and its degrees of freedom (Welch
    and Satterthwaite)."""
    parts, freedom = [], []
    for one, variance in zip(strata, variances(strata)):
        if not one.exhaustive:
            parts.append(one.words**2 * variance / one.trials)
            freedom.append(_of_freedom(parts[-1], one.trials))
    total = sum(parts)
    if not total:
        return 0.0, math.inf
    return math.sqrt(total), total**2 / sum(freedom)


def variances(strata: Sequence[Stratum]) -> List[float]:
    """Of drops per upset. A stratum whose trials all agree is given the scatter that one more
    trial, at the mean of the study, would give it: few trials without a drop are not a drop of
    0."""
    bits = sum(one.words for one in strata)
    mean = sum(one.words * one.drop for one in strata) / bits
    return [one.deviation**2 or (mean - one.drop) ** 2 / (one.trials + 1) for one in strata]


def allocated(strata: Sequence[Stratum], trials: int) -> List[int]:
    """How many of so many further ``trials`` each stratum gets: in proportion to its bits times the
    standard deviation of its drops (J. Neyman, Journal of the Royal Statistical Society 97, 1934),
    none where all were tried; the largest remainders make up the sum."""
    spread = [
        0.0 if one.exhaustive else one.words * math.sqrt(variance)
        for one, variance in zip(strata, variances(strata))
    ]
    if not sum(spread):
        return [0] * len(strata)
    shares = [trials * one / sum(spread) for one in spread]
    found = [math.floor(share) for share in shares]
    rest = sorted(range(len(shares)), key=lambda i: found[i] - shares[i])
    for i in rest[: trials - sum(found)]:
        found[i] += 1
    return found


def _of_freedom(part: float, trials: int) -> float:
    return part**2 / max(trials - 1, 1)


def _half(error: float, freedom: float, confidence: float) -> float:
    if math.isinf(freedom):
        return float(special.ndtri((1.0 + confidence) / 2.0)) * error
    return float(special.stdtrit(freedom, (1.0 + confidence) / 2.0)) * error


def sentence(found: Sequence[Additive]) -> Optional[str]:
    """For people; None where there is nothing to say."""
    if not found:
        return None
    good = [f"{one.ber:.3g}" for one in found if one.agree]
    bad = [
        f"{one.ber:.3g} (foretold {one.foretold:.3g}, found {one.drop:.3g})"
        for one in found
        if not one.agree
    ]
    told = "the sum over strata foretells the drop"
    if good:
        told += f" at BER {', '.join(good)}, within both intervals"
    if bad:
        told += f"{'; not' if good else ' at no BER; not'} at {', '.join(bad)}: upsets interact"
    return told
