"""Which trials a campaign runs, batch by batch. No torch.

A batch is fixed before any of it runs, and depends on the results of earlier ones only, not on
their order or on who ran them: so every engine, and a campaign that was interrupted, runs the
same trials.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from ..analysis.intervals import trials_for_margin
from ..analysis.strata import stratum_trials
from ..analysis.threshold import next_bers
from ..analysis.trials import Trial, TrialResult, grid
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
) -> Iterator[Batch]:
    """The batches in order; ``results`` (by trial id) must hold all of a batch, but for other
    shards' trials, when the next one is asked for."""
    n = campaign.trials
    counts = dict.fromkeys(bers, n)
    yield Batch("grid of BERs", _part(grid(bers, 0, n), campaign))
    if campaign.until is not None:
        counts = {ber: _wanted(campaign, ber, golden, results) for ber in bers}
        more = [trial for ber in bers for trial in grid((ber,), n, counts[ber])]
        yield Batch("until the margin", more)
    if campaign.searches_threshold:
        for architecture in range(len(golden.metrics)):
            while True:
                # Of this schedule's trials only: what an interrupted or a larger campaign left
                # behind must not turn the search.
                added = _next(campaign, _drops(golden, results, architecture, counts))
                if not added:
                    break
                counts.update((ber, n) for ber in added)
                yield Batch("threshold search", grid(tuple(added), 0, n))
    if campaign.sensitivity is not None:
        for name, stored_bits in strata.items():
            trials = stratum_trials(name, stored_bits, campaign.sensitivity)
            yield Batch(f"sensitivity of {name}", _part(trials, campaign))


def _part(trials: List[Trial], campaign: CampaignSettings) -> List[Trial]:
    """Those of this shard."""
    index, number_of = campaign.part
    return [trial for trial in trials if trial.number % number_of == index]


def _next(campaign: CampaignSettings, drops: Mapping[float, Sequence[float]]) -> List[float]:
    assert campaign.max_drop is not None
    return next_bers(drops, campaign.max_drop, campaign.confidence, campaign.tolerance)


def _wanted(
    campaign: CampaignSettings, ber: float, golden: TrialResult, results: Mapping[str, TrialResult]
) -> int:
    """Trials in all at ``ber``, for the widest of the architectures' intervals."""
    until, n = campaign.until, campaign.trials
    assert until is not None
    confidence = until.confidence or campaign.confidence
    drops = (_drops(golden, results, a, {ber: n})[ber] for a in range(len(golden.metrics)))
    return max(trials_for_margin(d, until.margin, confidence, until.max_trials) for d in drops)


def _drops(
    golden: TrialResult,
    results: Mapping[str, TrialResult],
    architecture: int,
    counts: Mapping[float, int],
) -> Dict[float, List[float]]:
    """BER -> drops of one architecture in percentage points, of so many first trials."""
    before = golden.metrics[architecture]
    return {
        ber: [before - results[Trial(i, ber).id].metrics[architecture] for i in range(count)]
        for ber, count in counts.items()
    }
