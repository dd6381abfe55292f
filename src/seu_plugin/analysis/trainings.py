"""Two sets of campaigns, one for each training of a network: what training one way or the other
makes of accuracy under upsets. No torch.

The unit of sampling is the training. What one of them gives is its mean accuracy over fault maps;
of trainings in pairs (campaigns of one name, one seed say) the differences are what varies,
otherwise both sides do (Welch, Biometrika 34, 1947).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy import special

from ..errors import ConfigError
from .intervals import Interval, t_interval
from .manifest import MANIFEST
from .paired import Side, differing, side_of


class TrainingsRow(NamedTuple):
    """At one BER (0: golden runs): mean accuracies in %, their standard deviations over trainings,
    the mean difference, its near-normal interval, and the smallest and largest difference of a
    pair, None where trainings are no pairs."""

    ber: float
    first: float
    first_sd: float
    second: float
    second_sd: float
    difference: float
    interval: Interval
    extremes: Optional[Tuple[float, float]]


class TrainingsComparison(NamedTuple):
    """``pairs``: names of trainings that both sides have, empty where they are no pairs; ``sizes``:
    trainings a side; ``maps_vary``: whether each has fault maps of its own; ``differ``: what else
    sets campaigns apart, as :class:`~.paired.Comparison` has it."""

    rows: List[TrainingsRow]
    pairs: List[str]
    sizes: Tuple[int, int]
    maps_vary: bool
    differ: List[str]


def campaigns_in(folder: Path) -> List[Path]:
    """The folders of campaigns in ``folder``, by name; none if it is itself that of one."""
    if (folder / MANIFEST).exists():
        return []
    return sorted(one for one in folder.iterdir() if (one / MANIFEST).is_file())


def compared_trainings(
    first: Path, second: Path, confidence: float = 0.95, architecture: int = 0
) -> TrainingsComparison:
    """``first`` and ``second`` hold a folder for each training.

    Raises ConfigError if one has fewer than two, or if no BER is in all of them.
    """
    sets = [campaigns_in(folder) for folder in (first, second)]
    for folder, several in zip((first, second), sets):
        if len(several) < 2:
            raise ConfigError(
                f"{folder}: must hold two folders of campaigns at least, one for each training; "
                f"it has {len(several)}"
            )
    one, other = ([side_of(path, architecture) for path in several] for several in sets)
    names = [[path.name for path in several] for several in sets]
    pairs = names[0] if names[0] == names[1] else []
    common = set.intersection(*(set(side.values) for side in (*one, *other)))
    if not common:
        raise ConfigError(f"{first} and {second}: have no BER that all of their campaigns have")
    columns = [{0.0: side.golden, **_means(side)} for side in (*one, *other)]
    rows = [
        _row(
            ber,
            [column[ber] for column in columns[: len(one)]],
            [column[ber] for column in columns[len(one) :]],
            bool(pairs),
            confidence,
        )
        for ber in (0.0, *sorted(common))
    ]
    seeds = [{side.manifest["seed"] for side in several} for several in (one, other)]
    vary = [len(found) == len(several) for found, several in zip(seeds, (one, other))]
    differ = {told for side in (*one[1:], *other) for told in differing(one[0], side)}
    return TrainingsComparison(
        rows,
        pairs,
        (len(one), len(other)),
        all(vary),
        sorted(told for told in differ if not (all(vary) and told.startswith("seed: "))),
    )


def _means(side: Side) -> Dict[float, float]:
    return {ber: float(np.mean([*by.values()])) for ber, by in side.values.items()}


def _row(
    ber: float, first: Sequence[float], second: Sequence[float], pairs: bool, confidence: float
) -> TrainingsRow:
    a, b = np.array(first), np.array(second)
    extremes = None
    if pairs:
        interval = t_interval(b - a, confidence)
        extremes = float((b - a).min()), float((b - a).max())
    else:
        interval = welch(first, second, confidence)
    sds = float(a.std(ddof=1)), float(b.std(ddof=1))
    difference = float(b.mean() - a.mean())
    return TrainingsRow(
        ber, float(a.mean()), sds[0], float(b.mean()), sds[1], difference, interval, extremes
    )


def welch(first: Sequence[float], second: Sequence[float], confidence: float) -> Interval:
    """Of the difference of two means, the second less the first, of near-normal values whose
    variances need not be equal. Infinitely wide where no value differs from another."""
    parts = [float(np.var(one, ddof=1)) / len(one) for one in (first, second)]
    difference = float(np.mean(second) - np.mean(first))
    if not sum(parts):
        return Interval(-math.inf, math.inf)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(one) - 1) for part, one in zip(parts, (first, second))
    )
    half = float(special.stdtrit(freedom, (1.0 + confidence) / 2.0)) * math.sqrt(sum(parts))
    return Interval(difference - half, difference + half)
