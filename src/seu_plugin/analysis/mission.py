"""What missions that were followed say: accuracy over time, availability, and how often one mission
keeps its requirement. No torch.

The unit of sampling is a mission: all of its times see the upsets of one memory. Each was looked at
at times that are spread evenly at random (:class:`~seu_plugin.faults.itinerary.Itinerary`), so
that means over its times are unbiased however few they are; those of single missions scatter more
than the missions do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..faults.itinerary import Floats, Itinerary
from ..faults.rates import UNITS, duration
from ..settings.campaign import CampaignSettings
from .columns import Rows
from .drops import Differences, Drops
from .intervals import Interval, clopper_pearson

#: Missions of which a picture shows the paths.
SHOWN = 30


class Missions(NamedTuple):
    """Which missions were followed, under which ``seed``. ``clean``: by end of the rate's interval,
    the exact share of the time in which nothing is read wrong, as far as it is known."""

    itinerary: Itinerary
    seed: int
    clean: Mapping[str, float] = MappingProxyType({})


class Followed(NamedTuple):
    """Missions at one rate: when each was looked at, and what accuracy was; both of shape
    [missions, times]."""

    times: Floats
    accuracy: Floats


class Moment(NamedTuple):
    """Accuracy in a part of the time since a scrub (of sweeping, or without one, of the mission's
    time): its middle in seconds, the mean in %, and the near-normal interval of that; None: fewer
    than two values."""

    time: float
    accuracy: float
    interval: Optional[Interval]


@dataclass(frozen=True)
class Share:
    """A share of time, averaged over missions. ``normal`` holds if missions are near normal,
    ``any_law`` whatever their law. ``low`` and ``high``: of a counted rate, the ends that hold at
    all rates in its interval if more upsets never help; with half of what the confidence leaves."""

    mean: float
    normal: Interval
    any_law: Interval
    low: Optional[float] = None
    high: Optional[float] = None


@dataclass(frozen=True)
class Kept:
    """Of missions, the share whose availability is at least ``availability``, with its exact
    interval. ``lowest``: of all that were followed, which at least ``covered`` of missions reach
    (Wilks 1941)."""

    availability: float
    share: float
    interval: Interval
    lowest: float
    covered: float


@dataclass(frozen=True)
class MissionSummary:
    """One architecture over missions; times in seconds, accuracies in %, ``max_drop`` in percentage
    points. ``average``: accuracy averaged over time. ``availability``: where max_drop is given,
    the share of the time in which the drop is no more than that. ``clean``: the exact share in
    which nothing is read wrong, which no interval reaches below; None: not known.
    ``per_bit_day``: upsets of a bit, on average over all ``environments``."""

    architecture: int
    duration: float
    period: float
    scrubs: int
    sweeping: bool
    points: int
    missions: int
    average: float
    average_normal: Interval
    average_any_law: Interval
    availability: Optional[Share]
    max_drop: Optional[float]
    kept: Optional[Kept]
    confidence: float
    clean: Optional[float]
    environments: int
    per_bit_day: float
    curve: Tuple[Moment, ...]
    paths: Tuple[Tuple[Tuple[float, ...], Tuple[float, ...]], ...]

    def text(self) -> List[str]:
        """For people."""
        often = "never scrubbed"
        if self.scrubs:
            how = "sweeping, one round" if self.sweeping else "scrubbed"
            often = f"{how} every {duration(self.period)}"
        sure = f"{100 * self.confidence:g} % intervals over {self.missions} missions"
        lines = [
            f"mission of {duration(self.duration)}, {often}: accuracy {self.average:.2f} % on "
            f"average over time ({sure}: any law {_ends(self.average_any_law)}, "
            f"near normal {_ends(self.average_normal)})"
        ]
        if self.environments > 1:
            lines.append(
                f"{self.environments} environments in turn: {self.per_bit_day:.4g} upsets of a bit "
                "a day on average over the mission"
            )
        one = self.availability
        if one is not None:
            lines.append(
                f"availability (drop at most {self.max_drop:g}): {_percent(one.mean)} % of the "
                f"time (any law {_percents(one.any_law)}, near normal {_percents(one.normal)})"
            )
            if one.low is not None and one.high is not None:
                both = _percents(Interval(one.low, one.high))
                lines.append(
                    f"whatever the rate in its interval: {both} %, any law, if more upsets never "
                    "help"
                )
        if self.clean is not None:
            lines.append(f"nothing is read wrong for {_percent(self.clean)} % of the time (exact)")
        if self.kept is not None:
            lines += self._requirement(self.kept)
        return lines

    def _requirement(self, kept: Kept) -> List[str]:
        low, high = (100 * end for end in kept.interval)
        return [
            f"one mission is available for at least {100 * kept.availability:g} % of the time with "
            f"probability {100 * kept.share:.1f} % ({low:.1f} ... {high:.1f} %, exact; as seen at "
            f"{self.points} times of each, of which {math.ceil(kept.availability * self.points)} "
            "must be available)",
            f"with {100 * self.confidence:g} % confidence at least {100 * kept.covered:.1f} % of "
            f"missions are available for {100 * kept.lowest:.2f} % of the time or more (Wilks)",
        ]


def _percent(share: float, least: int = 2) -> str:
    """With two decimals, or as many nines as it has and two more digits."""
    beyond = 1.0 - share
    digits = least if beyond <= 1e-13 else max(least, -math.floor(math.log10(beyond)) - 1)
    return f"{100 * share:.{digits}f}"


def _percents(interval: Interval) -> str:
    return f"{_percent(interval.low)} ... {_percent(interval.high)}"


def _ends(interval: Interval) -> str:
    return f"{interval.low:.2f} ... {interval.high:.2f}"


def followed(rows: Rows, missions: Missions, architecture: int = 0) -> Dict[str, Followed]:
    """By end of the rate's interval, the missions of which all times are there."""
    itinerary = missions.itinerary
    numbers, metric = rows.number, rows.metric(architecture)
    found: Dict[str, Followed] = {}
    for rate in itinerary.rates:
        at = rows.of_rate(rate)
        order = np.lexsort((rows.moment[at], numbers[at]))
        here, accuracy = numbers[at][order], metric[at][order]
        every, first, counts = np.unique(here, return_index=True, return_counts=True)
        whole = counts == itinerary.points
        table = [accuracy[i : i + itinerary.points] for i in first[whole]]
        times = [itinerary.times(missions.seed, int(number)) for number in every[whole]]
        shape = (len(table), itinerary.points)
        found[rate] = Followed(np.reshape(times, shape), np.reshape(table, shape))
    return found


def mission_summary(
    rows: Rows,
    missions: Missions,
    golden: float,
    campaign: CampaignSettings,
    architecture: int = 0,
) -> Optional[MissionSummary]:
    """What the trials of missions say; None before there are two."""
    itinerary, clean = missions.itinerary, missions.clean
    by_rate = followed(rows, missions, architecture)
    measured, sure = by_rate[""], campaign.confidence
    if len(measured.accuracy) < 2:
        return None
    max_drop = campaign.available_drop
    average = Drops(tuple((golden - measured.accuracy.mean(axis=1)).tolist()), golden)
    least = golden * clean.get("", 0.0)  # right while nothing is wrong, and not below 0 else
    normal, any_law = (
        _from(least, Interval(golden - one.high, golden - one.low))
        for one in (average.normal(sure), average.any_law(sure))
    )
    asked = None if campaign.mission is None else campaign.mission.requirement
    shares = (
        {} if max_drop is None else {r: _shares(m, golden, max_drop) for r, m in by_rate.items()}
    )
    return MissionSummary(
        architecture,
        itinerary.duration,
        itinerary.period,
        math.ceil(itinerary.duration / itinerary.period * (1.0 - 1e-12)) - 1,
        itinerary.sweeping,
        itinerary.points,
        len(measured.accuracy),
        golden - average.mean,
        normal,
        any_law,
        _share(shares, sure, clean) if shares else None,
        max_drop,
        None if asked is None else _kept(shares[""], asked.availability, sure),
        sure,
        clean.get(""),
        len(itinerary.rates[""]),
        itinerary.exposure("", itinerary.duration) / itinerary.duration * UNITS["d"],
        _curve(measured, itinerary, golden, sure),
        tuple(
            (tuple(times.tolist()), tuple(accuracy.tolist()))
            for times, accuracy in zip(measured.times[:SHOWN], measured.accuracy[:SHOWN])
        ),
    )


def _shares(missions: Followed, golden: float, max_drop: float) -> Floats:
    """Of each mission, the share of its times at which the drop is at most ``max_drop``."""
    # Percentages are not exact: a drop that is max_drop must not lose by rounding.
    within = golden - missions.accuracy <= max_drop + 1e-9
    return np.asarray(within.mean(axis=1))


def _from(least: float, interval: Interval) -> Interval:
    """``interval`` as far as it is not known to be too low."""
    return Interval(max(interval.low, least), max(interval.high, least))


def _share(shares: Dict[str, Floats], sure: float, clean: Mapping[str, float]) -> Share:
    one, least = _of(shares[""]), clean.get("", 0.0)
    normal, any_law = (_from(least, ends) for ends in (one.normal(sure), one.any_law(sure)))
    found = Share(float(np.mean(one.values)), normal, any_law)
    if not all(shares.get(rate, np.zeros(0)).size for rate in ("low", "high")):
        return found
    # Each end is wrong with a quarter of what the confidence leaves, the rate with half of it.
    each = (1.0 + sure) / 2.0
    low, high = _of(shares["high"]).any_law(each).low, _of(shares["low"]).any_law(each).high
    low = max(low, clean.get("high", 0.0))
    return Share(found.mean, found.normal, found.any_law, low, max(low, high))


def _of(shares: Floats) -> Differences:
    return Differences(tuple(shares.tolist()), 0.0, 1.0)


def _kept(shares: Floats, availability: float, sure: float) -> Kept:
    hits, n = int((shares >= availability - 1e-12).sum()), len(shares)
    lowest = float(shares.min())
    interval = Interval(*clopper_pearson(hits, n, sure))
    return Kept(availability, hits / n, interval, lowest, (1.0 - sure) ** (1.0 / n))


def _curve(
    missions: Followed, itinerary: Itinerary, golden: float, sure: float
) -> Tuple[Moment, ...]:
    scrubbed = itinerary.period < itinerary.duration and not itinerary.sweeping
    length = itinerary.period if scrubbed else itinerary.duration
    since = np.mod(missions.times, length).ravel()
    part = np.minimum((since / length * itinerary.points).astype(int), itinerary.points - 1)
    accuracy, found = missions.accuracy.ravel(), []
    for i in range(itinerary.points):
        here = Drops(tuple((golden - accuracy[part == i]).tolist()), golden)
        if not here.values:
            continue
        interval = None
        if len(here.values) > 1:
            low, high = here.normal(sure)
            interval = Interval(golden - high, golden - low)
        middle = (i + 0.5) * length / itinerary.points
        found.append(Moment(middle, golden - here.mean, interval))
    return tuple(found)
