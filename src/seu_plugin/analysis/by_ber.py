"""What the trials at each BER say: one row of the tables of a campaign. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..settings.campaign import CampaignSettings
from .columns import NONE, OUTCOMES, Rows
from .drops import Differences, Drops
from .images import TwoWay
from .intervals import Interval
from .trials import Outcomes, TrialResult

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class BerSummary:
    """One architecture at one BER. Accuracies in percent, drops in percentage points.

    ``chance``: the probability of what trials were drawn given (that something may be read wrong);
    1 of plain trials. ``mean``, ``drop`` and ``exceeding`` (a drop of more than max_drop) are of
    all fault maps: those of the trials times ``chance``. ``drop_any_law_interval`` holds whatever
    the law of the drops, ``drop_normal_interval`` if they are near normal, both for the images of
    the test set; ``drop_two_way_interval``, near normal, covers other images as well (None where
    single images are not known). ``drop_band_interval``: that one, or else the near-normal one, so
    wide that all BERs are held at once (Bonferroni). ``drop_isotonic``: the drop under a curve that
    never falls, nearest to the means. ``right_to_wrong`` and ``wrong_to_right``: images of a trial,
    on average, that became so; ``wrong_to_wrong``: that got another wrong class. ``upsets``,
    ``deviation``, ``quantiles`` and ``worst`` are of the
    trials. ``step``: how much the mean is below that of the next lower BER, as a paired difference
    over the same trial numbers. Of protected memory, means over trials: ``residual`` bits read
    wrong, ``corrected`` and ``detected`` memory words.
    """

    architecture: int
    ber: float
    chance: float
    trials: int
    ran: int
    upsets: float
    mean: float
    deviation: Optional[float]
    quantiles: Tuple[float, ...]
    worst: float
    drop: float
    drop_any_law_interval: Interval
    drop_normal_interval: Interval
    drop_two_way_interval: Optional[Interval]
    drop_band_interval: Interval
    drop_isotonic: float
    exceeding: Optional[float]
    exceeding_interval: Optional[Interval]
    step: Optional[float]
    step_interval: Optional[Interval]
    outcomes: Optional[Outcomes]
    residual: Optional[float] = None
    corrected: Optional[float] = None
    detected: Optional[float] = None
    right_to_wrong: Optional[float] = None
    wrong_to_right: Optional[float] = None
    wrong_to_wrong: Optional[float] = None


def by_bers(
    architecture: int,
    by_ber: Mapping[float, Sequence[TrialResult]],
    drops: Mapping[float, Drops],
    campaign: CampaignSettings,
    two_ways: Optional[Mapping[float, TwoWay]] = None,
) -> List[BerSummary]:
    """A row for each BER, ascending. ``two_ways``: where single images are known."""
    summaries: List[BerSummary] = []
    previous: Dict[int, float] = {}
    rising = dict(zip(drops, isotonic([one.mean for one in drops.values()])))
    all_at_once = 1.0 - (1.0 - campaign.confidence) / max(len(drops), 1)
    for ber, one in drops.items():
        results, n, golden = Rows.of(by_ber[ber]), len(one.values), one.golden
        accuracies = [golden - drop for drop in one.values]
        numbered = dict(zip(results.number.tolist(), one.scaled()))
        steps = [numbered[i] - previous[i] for i in numbered if i in previous]
        previous = numbered
        limit, sure = campaign.max_drop, campaign.confidence
        images = (two_ways or {}).get(ber)
        summaries.append(
            BerSummary(
                architecture,
                ber,
                one.chance,
                n,
                int(results.ran.sum()),
                float(np.mean(results.counted("upsets"))),
                golden - one.mean,
                float(np.std(accuracies, ddof=1)) if n > 1 else None,
                tuple(map(float, np.quantile(accuracies, _QUANTILES))),
                min(accuracies),
                one.mean,
                one.any_law(sure),
                one.normal(sure, _pilot(campaign)),
                None if images is None else images.interval(one, sure),
                one.normal(all_at_once, _pilot(campaign))
                if images is None
                else images.interval(one, all_at_once),
                rising[ber],
                None if limit is None else one.exceeding(limit),
                None if limit is None else one.exceeding_interval(limit, sure),
                float(np.mean(steps)) if steps else None,
                _step_interval(steps, 100.0 * one.chance, sure),
                _all_outcomes(results),
                _mean_of(results, "residual"),
                _mean_of(results, "corrected"),
                _mean_of(results, "detected"),
                None if images is None else _each(images.right_to_wrong, n),
                None if images is None else _each(images.wrong_to_right, n),
                _wrong_to_wrong(results, architecture),
            )
        )
    return summaries


def _step_interval(steps: Sequence[float], bound: float, confidence: float) -> Optional[Interval]:
    if len(steps) < 2:
        return None
    return Differences(tuple(steps), -bound, bound).normal(confidence)


def isotonic(values: Sequence[float]) -> List[float]:
    """The values that never fall, nearest to these (pool adjacent violators; Barlow et al.,
    Statistical Inference under Order Restrictions, 1972)."""
    pools: List[Tuple[float, int]] = []
    for value in values:
        mean, size = value, 1
        while pools and pools[-1][0] > mean:
            before, n = pools.pop()
            mean, size = (mean * size + before * n) / (size + n), size + n
        pools.append((mean, size))
    return [mean for mean, size in pools for _ in range(size)]


def _each(total: Optional[int], trials: int) -> Optional[float]:
    return None if total is None else total / trials


def _wrong_to_wrong(results: Rows, architecture: int) -> Optional[float]:
    """Images of a trial, on average; None where a trial does not say."""
    known = [one[architecture] for one in results.rare("wrong_to_wrong") if one is not None]
    return float(np.mean(known)) if len(known) == len(results) else None


def _pilot(campaign: CampaignSettings) -> Optional[int]:
    """Trials whose spread decided on the number of others."""
    until = campaign.until
    return campaign.trials if until is not None and until.guarantee == "normal" else None


def _mean_of(results: Rows, name: str) -> Optional[float]:
    """The mean of what protected memory alone has."""
    counts = results.counted(name)
    return None if (counts == NONE).any() else float(np.mean(counts))


def _all_outcomes(results: Rows) -> Optional[Outcomes]:
    if (results.counted(OUTCOMES[0]) == NONE).any():
        return None
    return Outcomes(*(sum(results.counted(name).tolist()) for name in OUTCOMES))
