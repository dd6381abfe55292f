"""The ``campaign.mission`` part of the section. No torch."""

from __future__ import annotations

import math
from typing import Any, List, Literal, Optional, Tuple

from pydantic import Field, StrictInt, StrictStr, field_validator, model_validator

from ..faults.itinerary import MOST_POINTS
from ..faults.rates import Rate, checked_time, seconds
from ..fields import Frozen, number


class Environment(Frozen):
    """A part of the mission, with a rate of its own."""

    name: StrictStr = Field(min_length=1, description="for example quiet, worst_week")
    share: float = Field(gt=0.0, le=1.0, description="of the mission's duration")
    rate: Rate = Field(description="as the section's rate, without exposure")

    _numbers = field_validator("share", mode="before")(lambda value: number(value))

    @model_validator(mode="after")
    def _of_a_mission(self) -> Environment:
        if self.rate.exposure is not None:
            raise ValueError("rate.exposure: a mission says for how long upsets add up")
        return self


class Requirement(Frozen):
    """What one mission must keep."""

    availability: float = Field(
        gt=0.0, lt=1.0, description="share of the time in which the drop is at most max_drop"
    )
    max_drop: Optional[float] = Field(
        None, gt=0.0, le=100.0, description="percentage points; null: the campaign's"
    )

    _numbers = field_validator("availability", "max_drop", mode="before")(
        lambda value: None if value is None else number(value)
    )


class Mission(Frozen):
    """Accuracy against time, with upsets that add up until memory is scrubbed."""

    duration: StrictStr = Field(description="of the mission, with its unit: s, min, h, d, y")
    scrub_interval: Optional[StrictStr] = Field(
        None, description="time from one rewriting of a memory word to the next; null: never"
    )
    scrubbing: Literal["all_at_once", "sweeping"] = Field(
        "all_at_once",
        description="all_at_once: the whole memory in no time; sweeping: word after word, over "
        "the whole interval",
    )
    correct_on_read: Optional[StrictStr] = Field(
        None,
        description="behind a code: time from one reading of a memory word to the next, at which "
        "what the code corrects is written back; null: nothing is",
    )
    points: StrictInt = Field(
        8, ge=2, le=MOST_POINTS, description="times of each mission at which accuracy is evaluated"
    )
    environments: Optional[Tuple[Environment, ...]] = Field(
        None,
        min_length=1,
        description="in place of rate: parts of the mission, in this order, each with its rate, "
        "for example [{name: quiet, share: 0.97, rate: {upsets_per_bit_day: 1e-7}}, ...]",
    )
    requirement: Optional[Requirement] = Field(
        None, description="of one mission: the probability that it is kept is reported"
    )

    _time = field_validator("duration", "scrub_interval", "correct_on_read", mode="before")(
        checked_time
    )

    @model_validator(mode="after")
    def _in_order(self) -> Mission:
        if self.period > seconds(self.duration):
            raise ValueError(
                f"scrub_interval ({self.scrub_interval}) is longer than the mission "
                f"({self.duration})"
            )
        if self.scrubbing == "sweeping" and self.scrub_interval is None:
            raise ValueError("scrubbing: sweeping needs scrub_interval, one round of it")
        if self.correct_on_read is not None and seconds(self.correct_on_read) > self.period:
            raise ValueError(
                f"correct_on_read ({self.correct_on_read}) is longer than upsets add up "
                f"({self.scrub_interval or self.duration})"
            )
        several = self.environments or ()
        if several and not math.isclose(sum(one.share for one in several), 1.0, abs_tol=1e-9):
            raise ValueError(
                "environments: shares must add up to 1; the sum is "
                f"{sum(one.share for one in several):g}"
            )
        names: List[str] = [one.name for one in several]
        if len(set(names)) != len(names):
            raise ValueError("environments: must have distinct names")
        return self

    @property
    def period(self) -> float:
        """Seconds over which upsets add up."""
        return seconds(self.scrub_interval or self.duration)

    def starts(self) -> Tuple[float, ...]:
        """Seconds at which the environments begin."""
        shares: List[Any] = [one.share for one in self.environments or ()]
        length = seconds(self.duration)
        return tuple(length * sum(shares[:i]) for i in range(len(shares)))
