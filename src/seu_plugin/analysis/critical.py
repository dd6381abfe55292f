"""Single upsets where they are likely to matter: bits drawn by their scores, each with the exact
probability that it was, so that what they add up to is unbiased. No torch.

Every bit is drawn on its own, with a probability pi (Poisson sampling; Horvitz and Thompson, JASA
47, 1952): the mean drop over all bits is the sum of drop / pi over those drawn, divided by their
number in the memory. Whatever the scores are worth, that is unbiased. Half of the trials go to the
highest scores, so that the most harmful bits are found; half to scores that end where a margin is
used up, as drops do, so that the mean is known; a floor leaves no bit without a chance.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError
from scipy import special

from ..errors import ConfigError
from ..faults.seeding import Stream, mixed
from ..fields import first_mistake
from ..files import read_json, write_whole
from .intervals import Interval
from .trials import Trial, TrialResult

CRITICAL = "critical.json"
#: Share of the trials that are spread evenly over all bits.
FLOOR = 0.1
Floats = npt.NDArray[np.float64]


class CriticalPlan(BaseModel):
    """Of a memory of ``bits``, those ``drawn``: site, word, bit, and the chance that it was."""

    model_config = ConfigDict(extra="allow", frozen=True)

    bits: Annotated[StrictInt, Field(ge=1)]
    drawn: Tuple[
        Tuple[
            StrictStr,
            Annotated[StrictInt, Field(ge=0)],
            Annotated[StrictInt, Field(ge=0, lt=32)],
            Annotated[float, Field(gt=0.0, le=1.0)],
        ],
        ...,
    ]

    def trials(self) -> List[Trial]:
        """The single upsets of the plan: words of strata in which every word is tried."""
        return [Trial(word, None, site, bit, 1, True) for site, word, bit, _ in self.drawn]


@dataclass(frozen=True)
class CriticalSummary:
    """Mean accuracy drop of one upset anywhere, in percentage points, with its near-normal
    interval, from ``trials`` of ``bits``; ``certain``: of those that were drawn without chance."""

    bits: int
    trials: int
    certain: int
    drop: float
    interval: Interval

    def sentence(self, confidence: float) -> str:
        """For people."""
        low, high = self.interval
        return (
            f"one upset anywhere costs {self.drop:.3g} percentage points on average "
            f"({100 * confidence:g} % interval {low:.3g} ... {high:.3g}, near normal), from "
            f"{self.trials:,} of {self.bits:,} bits, drawn where gradients say that they matter"
        )


def plan_of(
    scores: Mapping[str, npt.NDArray[np.float32]],
    bits: Mapping[str, Sequence[int]],
    trials: int,
    seed: int,
) -> CriticalPlan:
    """About ``trials`` bits: ``scores[site][word, i]`` is that of bit ``bits[site][i]``."""
    sites = sorted(scores)
    flat = np.concatenate([scores[site].ravel() for site in sites]).astype(np.float64)
    found, known = inclusion(flat, trials / 2), inclusion(used_up(flat), trials / 2)
    chances = 1.0 - (1.0 - found) * (1.0 - known)
    drawn = []
    start = 0
    for site in sites:
        words, several = scores[site].shape
        here = chances[start : start + words * several]
        start += words * several
        key = Stream(seed, f"critical bits of {site}").word()
        random = mixed(key, np.arange(here.size)).astype(np.float64) * 2.0**-64
        for i in np.flatnonzero(random < here).tolist():
            word, which = divmod(i, several)
            drawn.append((site, word, int(bits[site][which]), float(here[i])))
    return CriticalPlan(bits=flat.size, drawn=tuple(drawn))


def used_up(scores: Floats) -> Floats:
    """Scores in units of the margin, up to all of it: 1 where they are infinite."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(scores), scores / (1.0 + scores), 1.0)


def inclusion(scores: Floats, trials: float) -> Floats:
    """Probabilities, proportional to scores above a floor, of which about ``trials`` come true."""
    n = scores.size
    if trials >= n:
        return np.ones(n)
    floor = FLOOR * trials / n
    finite = np.where(np.isfinite(scores), scores, 0.0)
    certain = ~np.isfinite(scores)

    def chances(c: float) -> Floats:
        return np.asarray(np.where(certain, 1.0, np.minimum(1.0, floor + c * finite)))

    low, high = 0.0, 1.0 / max(float(finite.max(initial=0.0)), 1e-300)
    while chances(high).sum() < trials and high < 1e300 and finite.any():
        low, high = high, high * 4.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if chances(middle).sum() < trials else (low, middle)
    return chances(low)


def critical_summary(
    plan: CriticalPlan, results: Sequence[TrialResult], golden: float, confidence: float
) -> Optional[CriticalSummary]:
    """What the trials of a plan say; None before all of them are there."""
    known: Dict[Tuple[str, int, int], float] = {}
    for result in results:
        trial = result.trial
        if trial.exhaustive and trial.site is not None and trial.bit is not None:
            known[trial.site, trial.number, trial.bit] = golden - result.metrics[0]
    if not plan.drawn or any(one[:3] not in known for one in plan.drawn):
        return None
    drops = np.array([known[one[:3]] for one in plan.drawn])
    chances = np.array([one[3] for one in plan.drawn])
    weighed = drops / chances
    variance = float(((1.0 - chances) * weighed**2).sum())
    left = chances < 1.0
    if left.any():  # what one more bit of those left to chance could have added
        worst = float(np.abs(drops[left]).max()) or float(np.abs(drops).max())
        variance = max(variance, (worst / float(np.median(chances[left]))) ** 2)
    mean = float(weighed.sum()) / plan.bits
    half = float(special.ndtri((1.0 + confidence) / 2.0)) * math.sqrt(variance) / plan.bits
    interval = Interval(mean - half, mean + half)
    return CriticalSummary(plan.bits, len(drops), int((~left).sum()), mean, interval)


def write_plan(folder: Path, plan: CriticalPlan) -> None:
    write_whole(folder / CRITICAL, json.dumps(plan.model_dump()) + "\n")


def read_plan(folder: Path) -> Optional[CriticalPlan]:
    """The plan in ``folder``; None if there is none. Raises ConfigError for a damaged one."""
    path = folder / CRITICAL
    if not path.exists():
        return None
    try:
        return CriticalPlan.model_validate(read_json(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_mistake(error)}") from None
