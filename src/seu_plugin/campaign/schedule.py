"""Which trials a campaign runs, batch by batch. No torch.

A batch is fixed before any of it runs, and depends on the results of earlier ones only, not on
their order or on who ran them: so every engine, and a campaign that was interrupted, runs the
same trials.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..analysis.additive import Stratum, allocated
from ..analysis.columns import Rows
from ..analysis.curve import curve
from ..analysis.drops import Drops, drops_of
from ..analysis.images import TwoWay, golden_scores, intervals, two_way_of
from ..analysis.packed_bits import Scores
from ..analysis.strata import stratum_trials
from ..analysis.threshold import evidence
from ..analysis.threshold_search import HIGHEST, MOST, next_bers
from ..analysis.trials import Trial, TrialResult, grid
from ..faults.itinerary import Itinerary
from ..faults.population import Population
from ..settings.campaign import CampaignSettings


class Batch(NamedTuple):
    title: str
    trials: List[Trial]


def batches(
    campaign: CampaignSettings,
    bers: Tuple[float, ...],
    strata: Mapping[str, int],
    golden: TrialResult,
    results: Mapping[str, TrialResult],
    population: Optional[Population] = None,
    highest: float = HIGHEST,
    itinerary: Optional[Itinerary] = None,
    critical: Sequence[Trial] = (),
) -> Iterator[Batch]:
    """The batches in order; ``results`` (by trial id) must hold all of a batch, but for other
    shards' trials, when the next one is asked for. ``population``: the
    memory that trials are drawn conditionally of, None of plain ones; ``highest``: BER of the
    search; ``itinerary``: of the missions to follow; ``critical``: single
    upsets to try."""
    n = campaign.trials
    counts = dict.fromkeys(bers, n)
    seen = _Seen(golden, results, population, golden_scores(golden), {})
    yield Batch("grid of BERs", _part(grid(bers, 0, n), campaign))
    if campaign.until is not None:
        while True:
            wanted = {ber: _wanted(campaign, seen, ber, counts[ber]) for ber in bers}
            more = [trial for ber in bers for trial in grid((ber,), counts[ber], wanted[ber])]
            if not more:
                break
            counts = wanted
            yield Batch("until the margin", more)
    if itinerary is not None:
        missions = [
            Trial(number, moment=moment, rate=rate or None)
            for rate in itinerary.rates
            for number in range(n)
            for moment in range(itinerary.points)
        ]
        yield Batch("missions", _part(missions, campaign))
    if campaign.searches_threshold:
        for architecture in range(len(golden.metrics)):
            most = len(counts) + MOST
            while len(counts) < most:
                # Of this schedule's trials only: what an interrupted or a larger campaign left
                # behind must not turn the search.
                added = _next(campaign, seen, architecture, counts, highest)
                if not added:
                    break
                counts.update((ber, n) for ber in added)
                yield Batch("threshold search", grid(tuple(added), 0, n))
    if critical:
        yield Batch("critical bits", _part([*critical], campaign))
    if campaign.sensitivity is not None:
        for name, stored_bits in strata.items():
            trials = stratum_trials(name, stored_bits, campaign.sensitivity)
            yield Batch(f"sensitivity of {name}", _part(trials, campaign))
        if campaign.sensitivity.more:
            yield Batch("sensitivity, where it varies", _more(campaign, strata, golden, results))


def _more(
    campaign: CampaignSettings,
    strata: Mapping[str, int],
    golden: TrialResult,
    results: Mapping[str, TrialResult],
) -> List[Trial]:
    """Further trials of strata, as the first ones of each say."""
    study = campaign.sensitivity
    assert study is not None
    first = [stratum_trials(name, bits, study) for name, bits in strata.items()]
    seen = []
    for bits, trials in zip(strata.values(), first):
        drops = [(golden.metrics[0] - results[one.id].metrics[0]) / one.placed for one in trials]
        seen.append(Stratum.of(bits, drops, trials[0].exhaustive))
    return [
        replace(trials[0], number=len(trials) + i)
        for trials, more in zip(first, allocated(seen, study.more))
        for i in range(more)
    ]


def _part(trials: List[Trial], campaign: CampaignSettings) -> List[Trial]:
    """Those of this shard."""
    index, number_of = campaign.part
    return [trial for trial in trials if trial.number % number_of == index]


def _next(
    campaign: CampaignSettings,
    seen: _Seen,
    architecture: int,
    counts: Mapping[float, int],
    highest: float,
) -> List[float]:
    assert campaign.max_drop is not None
    drops, sure = seen.drops(architecture, counts), campaign.confidence
    rows = {ber: seen.rows(ber, count) for ber, count in counts.items()}
    two_ways = seen.two_ways(architecture, counts)
    known = evidence(
        drops,
        sure,
        curve(
            [row for several in rows.values() for row in several],
            seen.population,
            seen.golden.metrics,
            architecture,
            sure,
            campaign.tolerance,
        ),
        intervals(two_ways, drops, sure),
    )
    conditional = any(one.conditional for one in drops.values())
    asked = (campaign.max_drop, campaign.tolerance, conditional, highest)
    return next_bers(known, list(drops), *asked)


def _wanted(campaign: CampaignSettings, seen: _Seen, ber: float, n: int) -> int:
    """Trials in all at ``ber`` after the next batch, for the widest of the architectures'
    intervals; of ``n`` that are there."""
    until = campaign.until
    assert until is not None
    confidence = until.confidence or campaign.confidence
    wanted = n
    for architecture in range(len(seen.golden.metrics)):
        drops = seen.drops(architecture, {ber: n})[ber]
        if until.guarantee == "normal" and drops.vary(campaign.trials):
            more = drops.trials_for_margin(until.margin, campaign.trials, confidence)
        else:
            low, high = drops.any_law(confidence)
            more = n if high - low <= 2 * until.margin else n + -(-n // 2)
        wanted = max(wanted, more)
    return min(wanted, max(until.max_trials, n))


class _Seen(NamedTuple):
    golden: TrialResult
    results: Mapping[str, TrialResult]
    population: Optional[Population]
    scores: Optional[List[Scores]]
    known: Dict[Tuple[int, float, int], Optional[TwoWay]]

    def two_ways(self, architecture: int, counts: Mapping[float, int]) -> Dict[float, TwoWay]:
        """Where single images are known, of so many first trials; each made once."""
        if self.scores is None or self.scores[architecture].size < 2:
            return {}
        for ber, count in counts.items():
            key = (architecture, ber, count)
            if key not in self.known:
                rows = Rows.of(self.rows(ber, count))
                self.known[key] = two_way_of(rows, architecture, self.scores[architecture])
        made = {ber: self.known[architecture, ber, count] for ber, count in counts.items()}
        return {ber: one for ber, one in made.items() if one is not None}

    def drops(self, architecture: int, counts: Mapping[float, int]) -> Dict[float, Drops]:
        """BER -> drops of one architecture, of so many first trials."""
        return {
            ber: drops_of(self.rows(ber, count), self.golden, architecture, self.population)
            for ber, count in counts.items()
        }

    def rows(self, ber: float, count: int) -> List[TrialResult]:
        """The first so many trials."""
        return [self.results[Trial(i, ber).id] for i in range(count)]
