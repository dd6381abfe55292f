"""What the rows of a campaign say: tables for people, files and pictures. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import ConfigError
from ..settings.campaign import CampaignSettings
from .intervals import (
    Interval,
    bootstrap_interval,
    clopper_pearson,
    sample_size,
    stein_interval,
    t_interval,
)
from .mission import MissionSummary, mission_summary
from .strata import is_exhaustive
from .threshold import Threshold, estimate
from .trials import Outcomes, Trial, TrialResult, stratum

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class BerSummary:
    """One architecture at one BER. Accuracies in percent, drops in percentage points.

    Intervals are of the mean over fault maps. ``exceeding`` is the fraction of trials whose drop
    is more than max_drop. ``step``: how much the mean is below that of the next lower BER, as a
    paired difference over the same fault map numbers, with its t interval. Of protected memory,
    means over fault maps: ``residual`` bits read wrong, ``corrected`` and ``detected`` memory
    words.
    """

    architecture: int
    ber: float
    trials: int
    ran: int
    upsets: float
    mean: float
    deviation: Optional[float]
    quantiles: Tuple[float, ...]
    worst: float
    drop: float
    drop_t: Interval
    drop_bootstrap: Interval
    exceeding: Optional[float]
    exceeding_interval: Optional[Interval]
    step: Optional[float]
    step_interval: Optional[Interval]
    outcomes: Optional[Outcomes]
    residual: Optional[float] = None
    corrected: Optional[float] = None
    detected: Optional[float] = None


@dataclass(frozen=True)
class StratumSummary:
    """Accuracy drop per upset in one part of the memory, in percentage points.

    ``interval`` is a t interval over trials; a point where every word was tried (``exhaustive``,
    then nothing is left to chance). ``critical`` is the fraction of trials that changed the
    top-1 class of any image, or the accuracy where outputs were not compared.
    """

    name: str
    site: Optional[str]
    bit: Optional[int]
    words: int
    trials: int
    exhaustive: bool
    drop: float
    interval: Interval
    worst: float
    critical: float
    critical_interval: Interval


class Difference(NamedTuple):
    """Of two campaigns at one BER: mean accuracies in percent, and how much the second is above the
    first, with the t interval over ``trials`` fault maps that both were evaluated under."""

    ber: float
    trials: int
    first: float
    second: float
    difference: float
    interval: Interval


@dataclass(frozen=True)
class Summary:
    golden: Tuple[float, ...]
    confidence: float
    max_drop: Optional[float]
    bers: Tuple[BerSummary, ...]
    thresholds: Tuple[Threshold, ...]
    sensitivity: Tuple[StratumSummary, ...]
    upsets_by_site: Mapping[str, int]
    trials: int
    ran: int
    bits: int
    single_faults_for_1_percent: int
    missions: Tuple[MissionSummary, ...] = ()

    def document(self) -> Dict[str, Any]:
        """For ``summary.json``."""
        return asdict(self)


def summarize(
    golden: TrialResult,
    results: Sequence[TrialResult],
    campaign: CampaignSettings,
    strata: Mapping[str, int],
    relaxation: float = 2.0,
) -> Summary:
    """Tables of a campaign; ``strata`` are the words of each stratum by name; ``relaxation`` that
    of the fault model (:func:`~seu_plugin.faults.mechanisms.relaxation`).

    The order of ``results`` does not matter. Raises ConfigError if there is no trial.
    """
    if not results:
        raise ConfigError("the campaign has no trial yet")
    by_ber: Dict[float, List[TrialResult]] = {}
    by_stratum: Dict[str, List[TrialResult]] = {}
    for result in sorted(results, key=lambda r: r.trial.number):
        if result.trial.ber is not None:
            by_ber.setdefault(result.trial.ber, []).append(result)
        else:
            name = stratum(result.trial.site, result.trial.bit)
            if name in strata and _in_plan(result.trial, strata[name], campaign):
                by_stratum.setdefault(name, []).append(result)
    bers, thresholds = [], []
    missions: List[MissionSummary] = []
    for architecture, before in enumerate(golden.metrics):
        drops = {
            ber: [before - r.metrics[architecture] for r in by_ber[ber]] for ber in sorted(by_ber)
        }
        bers += _by_ber(architecture, before, by_ber, drops, campaign)
        if campaign.max_drop is not None and drops:
            thresholds.append(estimate(drops, campaign.max_drop, campaign.confidence))
        if campaign.mission is not None and campaign.ber is not None:
            numbered = {
                ber: {r.trial.number: before - r.metrics[architecture] for r in rows}
                for ber, rows in by_ber.items()
            }
            asked = (campaign.mission, campaign.ber, before, numbered, campaign.confidence)
            limit = (thresholds[-1] if thresholds else None, campaign.max_drop)
            mission = mission_summary(*asked, *limit, architecture, relaxation)
            missions += [] if mission is None else [mission]
    by_site: Dict[str, int] = {}
    for result in results:
        for site, upsets in result.upsets_by_site.items():
            by_site[site] = by_site.get(site, 0) + upsets
    return Summary(
        golden.metrics,
        campaign.confidence,
        campaign.max_drop,
        tuple(bers),
        tuple(thresholds),
        tuple(
            _stratum(name, by_stratum[name], words, golden.metrics[0], campaign.confidence)
            for name, words in strata.items()
            if name in by_stratum
        ),
        dict(sorted(by_site.items())),
        len(results),
        sum(r.ran for r in results),
        golden.bits,
        sample_size(max(golden.bits, 1), 0.01, campaign.confidence),
        tuple(missions),
    )


def _in_plan(trial: Trial, stored_bits: int, campaign: CampaignSettings) -> bool:
    """Whether a trial of a stratum is of the study that ``campaign`` plans now: an earlier one in
    the same folder may have had other numbers of upsets."""
    study = campaign.sensitivity
    if study is None or trial.placed != study.placed(stored_bits):
        return False
    return trial.exhaustive == is_exhaustive(stored_bits, study)


def _by_ber(
    architecture: int,
    golden: float,
    by_ber: Mapping[float, Sequence[TrialResult]],
    drops: Mapping[float, Sequence[float]],
    campaign: CampaignSettings,
) -> List[BerSummary]:
    summaries: List[BerSummary] = []
    previous: Optional[Dict[int, float]] = None
    for ber, values in drops.items():
        results, n = by_ber[ber], len(values)
        accuracies = [golden - drop for drop in values]
        numbered = {r.trial.number: drop for r, drop in zip(results, values)}
        paired = [numbered[i] - previous[i] for i in numbered if i in previous] if previous else []
        previous = numbered
        above = None
        if campaign.max_drop is not None:
            above = sum(drop > campaign.max_drop for drop in values)
        summaries.append(
            BerSummary(
                architecture,
                ber,
                n,
                sum(r.ran for r in results),
                float(np.mean([r.upsets for r in results])),
                float(np.mean(accuracies)),
                float(np.std(accuracies, ddof=1)) if n > 1 else None,
                tuple(map(float, np.quantile(accuracies, _QUANTILES))),
                min(accuracies),
                float(np.mean(values)),
                _within(_interval_of_mean(values, campaign), golden),
                _within(bootstrap_interval(values, campaign.confidence), golden)
                if n > 1
                else _nothing_known(golden),
                None if above is None else above / n,
                None if above is None else clopper_pearson(above, n, campaign.confidence),
                float(np.mean(paired)) if paired else None,
                t_interval(paired, campaign.confidence) if len(paired) > 1 else None,
                _all_outcomes(results),
                *(_mean_of(results, name) for name in ("residual", "corrected", "detected")),
            )
        )
    return summaries


def _mean_of(results: Sequence[TrialResult], name: str) -> Optional[float]:
    """The mean of what protected memory alone has."""
    counts = [getattr(result, name) for result in results]
    return None if None in counts else float(np.mean(counts))


def _interval_of_mean(drops: Sequence[float], campaign: CampaignSettings) -> Interval:
    if campaign.until is not None and len(drops) > campaign.trials:
        return stein_interval(drops, campaign.trials, campaign.confidence)
    return t_interval(drops, campaign.confidence)  # infinite for one trial


def _nothing_known(golden: float) -> Interval:
    return Interval(golden - 100.0, golden)


def _within(interval: Interval, golden: float) -> Interval:
    """Accuracies lie in 0 ... 100."""
    least, most = _nothing_known(golden)
    return Interval(max(interval.low, least), min(interval.high, most))


def _all_outcomes(results: Sequence[TrialResult]) -> Optional[Outcomes]:
    known = [r.outcomes for r in results if r.outcomes is not None]
    if len(known) < len(results):
        return None
    names = ("masked", "tolerable", "critical", "nan_inf")
    return Outcomes(*(sum(getattr(o, name) for o in known) for name in names))


def _of_stratum(drops: Sequence[float], placed: int, golden: float, confidence: float) -> Interval:
    least, most = (end / placed for end in _nothing_known(golden))
    interval = t_interval(drops, confidence)
    return Interval(max(interval.low, least), min(interval.high, most))


def _stratum(
    name: str, results: Sequence[TrialResult], words: int, golden: float, confidence: float
) -> StratumSummary:
    trial, n = results[0].trial, len(results)
    drops = [(golden - r.metrics[0]) / trial.placed for r in results]
    exhaustive = trial.exhaustive and n == words
    mean = float(np.mean(drops))
    critical = sum(
        r.outcomes.critical + r.outcomes.nan_inf > 0
        if r.outcomes is not None
        else r.metrics[0] != golden
        for r in results
    )
    sampled = _of_stratum(drops, trial.placed, golden, confidence)
    share, sure = critical / n, clopper_pearson(critical, n, confidence)
    return StratumSummary(
        name=name,
        site=trial.site,
        bit=trial.bit,
        words=words,
        trials=n,
        exhaustive=exhaustive,
        drop=mean,
        interval=Interval(mean, mean) if exhaustive else sampled,
        worst=max(drops),
        critical=share,
        critical_interval=Interval(share, share) if exhaustive else sure,
    )
