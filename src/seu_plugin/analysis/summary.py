"""What the rows of a campaign say: tables for people, files and pictures. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import ConfigError
from ..faults.population import Population
from ..faults.upset_rate import UpsetRate
from ..settings.campaign import CampaignSettings
from .additive import Additive, Stratum, additive
from .by_ber import BerSummary, by_bers
from .columns import Rows
from .critical import CriticalPlan, CriticalSummary, critical_summary
from .curve import CurvePoint, curve
from .drops import Drops, drops_of
from .images import golden_interval, golden_scores, intervals, two_way_by_ber
from .intervals import Interval, clopper_pearson, sample_size, t_interval
from .mission import Missions, MissionSummary, mission_summary
from .strata import is_exhaustive
from .threshold import Threshold, estimate, evidence
from .times import RateSummary, each_confidence, rate_summary
from .trials import Trial, TrialResult, stratum


@dataclass(frozen=True)
class StratumSummary(Stratum):
    """Accuracy drop per upset in one part of the memory, in percentage points.

    ``interval`` is that of near-normal drops over trials; a point where every word was tried
    (``exhaustive``, then nothing is left to chance). ``critical`` is the fraction of trials that
    changed the top-1 class of any image, or the accuracy where outputs were not compared.
    ``margin``: how much the mean logit margin changes per upset, with its near-normal interval over
    trials; None: not known. It moves where no image changes its class.
    """

    name: str
    site: Optional[str]
    bit: Optional[int]
    interval: Interval
    worst: float
    critical: float
    critical_interval: Interval
    margin: Optional[float] = None
    margin_interval: Optional[Interval] = None


class Difference(NamedTuple):
    """Of two campaigns at one BER: mean accuracies in percent, and how much the second is above the
    first, with its intervals over ``trials`` pairs of fault maps: ``interval`` where differences
    are near normal, ``any_law`` whatever their law."""

    ber: float
    trials: int
    first: float
    second: float
    difference: float
    interval: Interval
    any_law: Interval


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
    sampling: str = "plain"
    golden_intervals: Optional[Tuple[Interval, ...]] = None
    curves: Tuple[Tuple[CurvePoint, ...], ...] = ()
    missions: Tuple[MissionSummary, ...] = ()
    rate: Optional[RateSummary] = None
    additive: Tuple[Additive, ...] = ()
    critical: Optional[CriticalSummary] = None

    def document(self) -> Dict[str, Any]:
        """For ``summary.json``."""
        return asdict(self)


def summarize(
    golden: TrialResult,
    results: Sequence[TrialResult],
    campaign: CampaignSettings,
    strata: Mapping[str, int],
    rate: Optional[UpsetRate] = None,
    population: Optional[Population] = None,
    missions: Optional[Missions] = None,
    plan: Optional[CriticalPlan] = None,
) -> Summary:
    """Tables of a campaign; ``strata`` are the words of each stratum by name; ``rate`` the
    physical one, where there is one; ``population`` the memory whose trials were drawn given that
    something may be read wrong, None of plain ones; ``missions``: those that were followed;
    ``plan``: that of critical bits.

    The order of ``results`` does not matter. Raises ConfigError if there is no trial.
    """
    if not results:
        raise ConfigError("the campaign has no trial yet")
    rows = Rows.of(results)
    by_ber = rows.by_ber()
    by_stratum: Dict[str, List[TrialResult]] = {}
    of_strata = np.isnan(rows.ber) & (rows.moment < 0)
    for result in sorted(rows.where(of_strata), key=lambda r: r.trial.number):
        name = stratum(result.trial.site, result.trial.bit)
        if name in strata and _in_plan(result.trial, strata[name], campaign):
            by_stratum.setdefault(name, []).append(result)
    check_struck(rows, population)
    right = golden_scores(golden)
    bers, curves = [], []
    thresholds: List[Threshold] = []
    timed: List[Threshold] = []  # of the confidence that leaves room for that of the rate
    sure = campaign.confidence
    levels = [(sure, thresholds), *([] if rate is None else [(each_confidence(rate, sure), timed)])]
    told: List[MissionSummary] = []
    for architecture, before in enumerate(golden.metrics):
        drops = {ber: drops_of(at, golden, architecture, population) for ber, at in by_ber.items()}
        scores = None if right is None else right[architecture]
        two_ways = two_way_by_ber(by_ber, architecture, scores)
        bers += by_bers(architecture, by_ber, drops, campaign, two_ways)
        of = (population, golden.metrics, architecture)
        curves.append(curve(rows, *of, sure, campaign.tolerance))
        for at, found in levels if campaign.max_drop is not None and drops else ():
            points = curves[-1] if at == sure else curve(rows, *of, at, campaign.tolerance)
            known = evidence(drops, at, points, intervals(two_ways, drops, at))
            found.append(estimate(known, campaign.max_drop or 0.0, at))
        if missions is not None:
            mission = mission_summary(rows, missions, before, campaign, architecture)
            told += [] if mission is None else [mission]
    alone = [r for r in rows.where(of_strata) if r.trial.exhaustive] if plan is not None else []
    studied = tuple(
        _stratum(name, by_stratum[name], words, golden.metrics[0], campaign.confidence)
        for name, words in strata.items()
        if name in by_stratum
    )
    of_first = [row for row in bers if row.architecture == 0]
    return Summary(
        golden.metrics,
        campaign.confidence,
        campaign.max_drop,
        tuple(bers),
        tuple(thresholds),
        studied,
        rows.upsets_by_site(),
        len(rows),
        int(rows.ran.sum()),
        golden.bits,
        sample_size(max(golden.bits, 1), 0.01, campaign.confidence),
        "plain" if population is None else "conditional",
        None
        if right is None
        else tuple(golden_interval(one, campaign.confidence) for one in right),
        tuple(curves),
        tuple(told),
        None if rate is None else rate_summary(rate, sure, timed, campaign.max_drop),
        additive(studied, golden.bits, of_first, sure),
        None if plan is None else critical_summary(plan, alone, golden.metrics[0], sure),
    )


def check_struck(results: Sequence[TrialResult], population: Optional[Population]) -> None:
    """Raise ConfigError for a row whose struck units are not of the kinds of the memory."""
    kinds = 0 if population is None else len(population.kinds)
    for result in Rows.of(results).not_of_kinds(kinds)[:1]:
        raise ConfigError(f"trial {result.trial.id}: struck: is not of {kinds} kinds")


def _in_plan(trial: Trial, stored_bits: int, campaign: CampaignSettings) -> bool:
    """Whether a trial of a stratum is of the study that ``campaign`` plans now: an earlier one in
    the same folder may have had other numbers of upsets."""
    study = campaign.sensitivity
    if study is None or trial.placed != study.placed(stored_bits):
        return False
    return trial.exhaustive == is_exhaustive(stored_bits, study)


def _of_stratum(drops: Sequence[float], placed: int, golden: float, confidence: float) -> Interval:
    """Of drops per upset, which lie in a range of 100 points through the number of upsets."""
    per_trial = tuple(drop * placed for drop in drops)
    low, high = Drops(per_trial, golden).normal(confidence)
    return Interval(low / placed, high / placed)


def _stratum(
    name: str, results: Sequence[TrialResult], words: int, golden: float, confidence: float
) -> StratumSummary:
    trial, n = results[0].trial, len(results)
    drops = [(golden - r.metrics[0]) / trial.placed for r in results]
    exhaustive = trial.exhaustive and n == words
    found = Stratum.of(words, drops, exhaustive)
    critical = sum(
        r.outcomes.critical + r.outcomes.nan_inf > 0
        if r.outcomes is not None
        else r.metrics[0] != golden
        for r in results
    )
    sampled = _of_stratum(drops, trial.placed, golden, confidence)
    share, sure = critical / n, clopper_pearson(critical, n, confidence)
    return StratumSummary(
        **vars(found),
        name=name,
        site=trial.site,
        bit=trial.bit,
        interval=Interval(found.drop, found.drop) if exhaustive else sampled,
        worst=max(drops),
        critical=share,
        critical_interval=Interval(share, share) if exhaustive else sure,
        **_margin(results, trial.placed, exhaustive, confidence),
    )


def _margin(
    results: Sequence[TrialResult], placed: int, exhaustive: bool, confidence: float
) -> Dict[str, Any]:
    known = [r.margin / placed for r in results if r.margin is not None]
    if len(known) < len(results) or len(known) < 2:
        return {}
    mean = float(np.mean(known))
    sampled = Interval(mean, mean) if exhaustive else t_interval(known, confidence)
    return {"margin": mean, "margin_interval": sampled}
