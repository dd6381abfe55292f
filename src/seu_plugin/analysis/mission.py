"""Accuracy against mission time: upsets add up from one scrub of the memory to the next. No torch.

Upsets of a bit are a Poisson process; t seconds after a scrub, which rewrites the whole memory from
a right copy, a bit is wrong with the BER of :func:`~seu_plugin.faults.rates.ber_after`. The
nested fault maps of one trial number at rising BERs are one history of the memory between two
scrubs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..faults.rates import duration, seconds
from ..settings.campaign import Mission
from .drops import Drops
from .intervals import Interval


@dataclass(frozen=True)
class MissionSummary:
    """One architecture over a mission. Times in seconds since the last scrub, accuracies in %.

    ``average``: accuracy averaged over time (trapezoids, from the golden accuracy at 0).
    ``availability``: the fraction of time in which accuracy has dropped by no more than max_drop,
    None where that is not given; a step between two times counts as its end, where more upsets have
    added up. Intervals are of near-normal values over trials.
    """

    architecture: int
    duration: float
    period: float
    scrubs: int
    trials: int
    times: Tuple[float, ...]
    bers: Tuple[float, ...]
    accuracy: Tuple[float, ...]
    interval: Tuple[Interval, ...]
    average: float
    average_interval: Interval
    availability: Optional[float]
    availability_interval: Optional[Interval]
    max_drop: Optional[float]

    def text(self) -> List[str]:
        """For people."""
        often = f"scrubbed every {duration(self.period)}" if self.scrubs else "never scrubbed"
        low, high = self.average_interval
        lines = [
            f"mission of {duration(self.duration)}, {often}: accuracy {self.average:.2f} % on "
            f"average over time ({low:.2f} ... {high:.2f})"
        ]
        if self.availability is not None and self.availability_interval is not None:
            low, high = (100 * end for end in self.availability_interval)
            lines.append(
                f"availability (accuracy drop at most {self.max_drop:g}): "
                f"{100 * self.availability:.2f} % of the time ({low:.2f} ... {high:.2f})"
            )
        return lines


def mission_summary(
    mission: Mission,
    bers: Sequence[float],
    golden: float,
    drops: Mapping[float, Mapping[int, float]],
    confidence: float,
    max_drop: Optional[float],
    architecture: int = 0,
) -> Optional[MissionSummary]:
    """What the trials say of a mission; None before each time has two of the same numbers.

    ``bers[i]`` is the BER at ``mission.times[i]``; ``drops``: BER -> trial number -> drop in
    percentage points.
    """
    numbers = set.intersection(*(set(drops.get(ber, {})) for ber in bers))
    if len(numbers) < 2:
        return None
    paths = np.array([[drops[ber][n] for ber in bers] for n in sorted(numbers)])
    whole, rest = _periods(mission)
    times = np.array([0.0, *mission.times])
    from_zero = np.hstack([np.zeros((len(paths), 1)), paths])
    shares = whole * np.diff(times) + np.diff(np.minimum(times, rest))  # seconds in each step
    length = shares.sum()
    # The last period may end within a step: the path is followed as far as that.
    starts, ends = from_zero[:, :-1], from_zero[:, 1:]
    part = np.diff(np.minimum(times, rest)) / np.diff(times)
    areas = (starts + ends) / 2 * whole + (starts + (ends - starts) * part / 2) * part
    averages = (areas * np.diff(times)).sum(axis=1) / length
    available = None if max_drop is None else ((paths <= max_drop) * shares).sum(axis=1) / length
    return MissionSummary(
        architecture,
        seconds(mission.duration),
        mission.period,
        whole - 1 + (rest > 0.0),
        len(paths),
        mission.times,
        tuple(bers),
        tuple((golden - paths.mean(axis=0)).tolist()),
        tuple(_accuracies(golden, column.tolist(), confidence) for column in paths.T),
        golden - float(averages.mean()),
        _accuracies(golden, averages.tolist(), confidence),
        None if available is None else float(available.mean()),
        None if available is None else _share(available.tolist(), confidence),
        max_drop,
    )


def _periods(mission: Mission) -> Tuple[int, float]:
    """Whole periods between scrubs, and the seconds of the last one if that is cut short."""
    length = seconds(mission.duration)
    whole = round(length / mission.period)
    if math.isclose(length, whole * mission.period, rel_tol=1e-9):
        return whole, 0.0
    whole = math.floor(length / mission.period)
    return whole, length - whole * mission.period


def _accuracies(golden: float, drops: Sequence[float], confidence: float) -> Interval:
    low, high = Drops(tuple(drops), golden).normal(confidence)
    return Interval(golden - high, golden - low)


def _share(shares: Sequence[float], confidence: float) -> Interval:
    low, high = Drops(tuple(100.0 * share for share in shares), 100.0).normal(confidence)
    return Interval(low / 100.0, high / 100.0)
