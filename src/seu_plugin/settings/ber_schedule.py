"""BER as a function of the epoch, for fault-aware training. No torch."""

from __future__ import annotations

import math
from typing import Any, Dict, Literal, Mapping, Optional

from pydantic import Field, StrictInt, field_validator, model_validator

from ..fields import Frozen, integer, number


class BerSchedule(Frozen):
    """From ``start`` in ``first_epoch`` to ``end`` in ``last_epoch``; constant outside."""

    shape: Literal["constant", "linear", "log", "steps"] = Field(
        description="linear: equal differences; log: equal ratios; steps: as listed"
    )
    start: Optional[float] = Field(
        None, ge=0.0, le=1.0, description="BER up to first_epoch; constant: in every epoch"
    )
    end: Optional[float] = Field(None, ge=0.0, le=1.0, description="BER from last_epoch on")
    first_epoch: StrictInt = Field(
        0, ge=0, lt=1 << 32, description="epoch in which the BER begins to change"
    )
    last_epoch: Optional[StrictInt] = Field(
        None, ge=0, lt=1 << 32, description="epoch that reaches end"
    )
    steps: Optional[Mapping[int, float]] = Field(
        None,
        description="first epoch of each step and its BER, for example {0: 0, 20: 1e-3}; "
        "0 before the first",
    )

    _number = field_validator("start", "end", mode="before")(
        lambda value: None if value is None else number(value)
    )
    _integer = field_validator("first_epoch", "last_epoch", mode="before")(integer)

    @field_validator("steps", mode="before")
    @classmethod
    def _steps(cls, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Mapping) or not value:
            raise ValueError("must be a mapping of epochs to BERs, for example {0: 0, 20: 1e-3}")
        steps: Dict[int, float] = {}
        for epoch, ber in value.items():
            if isinstance(epoch, str) and epoch.isdigit():  # from JSON
                epoch = int(epoch)
            if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
                raise ValueError(f"must have epochs from 0 on; one is {epoch!r}")
            steps[epoch] = number(ber)
            if not 0.0 <= steps[epoch] <= 1.0:
                raise ValueError(f"must have BERs in [0, 1]; that of epoch {epoch} is {ber!r}")
        return dict(sorted(steps.items()))

    @model_validator(mode="after")
    def _complete(self) -> BerSchedule:
        needed = {
            "constant": ("start",),
            "linear": ("start", "end", "last_epoch"),
            "log": ("start", "end", "last_epoch"),
            "steps": ("steps",),
        }[self.shape]
        keys = ("start", "end", "last_epoch", "steps")
        if self.shape in ("constant", "steps") and "first_epoch" in self.model_fields_set:
            raise ValueError(f"shape {self.shape} has no use for first_epoch")
        missing = [key for key in needed if getattr(self, key) is None]
        surplus = [k for k in keys if k not in needed and getattr(self, k) is not None]
        if missing or surplus:
            verb, which = ("needs", missing) if missing else ("has no use for", surplus)
            raise ValueError(f"shape {self.shape} {verb} {', '.join(which)}")
        if self.last_epoch is not None and self.last_epoch <= self.first_epoch:
            raise ValueError(
                f"last_epoch ({self.last_epoch}) must be after first_epoch ({self.first_epoch})"
            )
        if self.shape == "log" and not (self.start and self.end):
            raise ValueError("shape log needs start and end above 0")
        return self

    def ber(self, epoch: int) -> float:
        """The BER of an epoch, counted from 0."""
        if self.shape == "steps":
            assert self.steps is not None
            past = [ber for first, ber in self.steps.items() if first <= epoch]
            return past[-1] if past else 0.0
        start, end, last = self.start, self.end, self.last_epoch
        assert start is not None
        if end is None or last is None or epoch <= self.first_epoch:
            return start
        if epoch >= last:
            return end
        share = (epoch - self.first_epoch) / (last - self.first_epoch)
        if self.shape == "log":
            return math.exp(math.log(start) + share * (math.log(end) - math.log(start)))
        return start + share * (end - start)

    @property
    def highest(self) -> float:
        """The highest BER of any epoch."""
        known = [self.start, self.end, *(self.steps or {}).values()]
        return max(ber for ber in known if ber is not None)
