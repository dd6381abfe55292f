"""Upset rates in the units of radiation engineers, and the BER that an exposure makes of them.

Upsets of one bit are a Poisson process of rate lambda. After a time t the bit is wrong if their
number is odd: BER = (1 - exp(-2 * lambda * t)) / 2. Cells that another fault model upsets return
to the right value at another rate: BER = (1 - exp(-s * lambda * t)) / s, with the ``relaxation`` s
of :func:`~seu_plugin.faults.upset_rate.relaxation`. A rate is stated, or counted in a test.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Dict, Literal, Optional

from pydantic import Field, StrictInt, field_validator, model_serializer, model_validator

from ..fields import Frozen, integer, number
from .counted import Counted

#: Seconds; a year has 365.25 days (Julian year).
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365.25 * 86400.0}
#: Bits of a Mbit: 10**6 as in SI, or 2**20 as memories are often counted.
MBIT = {"decimal": 1_000_000, "binary": 1 << 20}
#: One FIT is one failure in 10**9 device hours (JEDEC JESD89).
FIT_SECONDS = 1e9 * 3600.0

FORMULA = "BER = (1 - exp(-2 * lambda * t)) / 2, with lambda in upsets per bit and second"


def seconds(value: Any) -> float:
    """A time with its unit, "30 d" say, in seconds. Raises ValueError."""
    found = re.fullmatch(r"\s*(\S*?)\s*([a-z]+)\s*", value) if isinstance(value, str) else None
    if found is None or found[2] not in UNITS:
        raise ValueError(f"must be a time with its unit ({', '.join(UNITS)}), for example 30 d")
    time = number(found[1], "must be a number and a unit, for example 30 d") * UNITS[found[2]]
    if not 0.0 < time < math.inf:
        raise ValueError("must be a time above 0")
    return time


def checked_time(value: Any) -> Any:
    """``value`` if it is a time with its unit, or None. Raises ValueError."""
    if value is not None:
        seconds(value)
    return value


def duration(time: float) -> str:
    """Seconds in the largest unit that gives at least 1."""
    unit = next((u for u in reversed(list(UNITS)) if time >= UNITS[u]), "s")
    return f"{time / UNITS[unit]:.4g} {unit}"


Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Counts = Annotated[StrictInt, Field(ge=0, lt=1 << 53)]


class Rate(Frozen):
    """How often a stored bit is upset, as stated or as counted in a test, and for how long upsets
    add up."""

    fit_per_mbit: Optional[Positive] = Field(
        None,
        description="upsets in 10^9 hours of a Mbit (1 FIT: one in 10^9 hours, JESD89)",
    )
    mbit: Literal["decimal", "binary"] = Field(
        "decimal", description="bits of a Mbit: decimal 10^6, binary 2^20"
    )
    upsets_per_bit_day: Optional[Positive] = Field(None, description="upsets of a bit a day")
    cross_section_cm2_per_bit: Optional[Positive] = Field(
        None,
        description="cross section of a bit in cm2; needs flux_per_cm2_s",
    )
    flux_per_cm2_s: Optional[Positive] = Field(
        None, description="particles through a cm2 in a second, where the memory is to work"
    )
    upsets: Optional[Counts] = Field(
        None,
        description="upsets counted in a test, each of one bit; needs bits, and fluence_per_cm2 "
        "(with flux_per_cm2_s) or device_hours",
    )
    events: Optional[Counts] = Field(
        None,
        description="of mode mbu, in place of upsets: particles counted that upset any bit",
    )
    fluence_per_cm2: Optional[Positive] = Field(
        None, description="of the test: particles through a cm2 in all"
    )
    device_hours: Optional[Positive] = Field(
        None, description="of the test: hours times devices that ran"
    )
    bits: Optional[Positive] = Field(None, description="of the test: bits of each device")
    exposure: Optional[str] = Field(
        None, description="how long upsets add up, with its unit: s, min, h, d or y (365.25 d)"
    )

    @field_validator(
        "fit_per_mbit",
        "upsets_per_bit_day",
        "cross_section_cm2_per_bit",
        "flux_per_cm2_s",
        "fluence_per_cm2",
        "device_hours",
        "bits",
        mode="before",
    )
    @classmethod
    def _number(cls, value: Any) -> Any:
        return None if value is None else number(value)

    _counts = field_validator("upsets", "events", mode="before")(integer)

    _time = field_validator("exposure", mode="before")(checked_time)

    @model_serializer(mode="wrap")
    def _as_given(self, dump: Any) -> Dict[str, Any]:
        """Without what is not given, which read again would be too much."""
        found = {name: value for name, value in dump(self).items() if value is not None}
        if self.fit_per_mbit is None:
            found.pop("mbit", None)
        return found

    @model_validator(mode="after")
    def _one_rate(self) -> Rate:
        self._of_a_test()
        given = [name for name in _RATES if getattr(self, name) is not None]
        if len(given) != 1:
            found, allowed = " and ".join(given) or "none of them", ", ".join(_RATES[:-1])
            raise ValueError(f"needs exactly one of {allowed}{OF_CLUSTERS}; received {found}")
        per_area = self.cross_section_cm2_per_bit, self.fluence_per_cm2
        if self.flux_per_cm2_s is None:
            for name, value in zip(("cross_section_cm2_per_bit", "fluence_per_cm2"), per_area):
                if value is not None:
                    raise ValueError(f"{name} needs flux_per_cm2_s")
        elif per_area == (None, None):
            raise ValueError("flux_per_cm2_s needs cross_section_cm2_per_bit or fluence_per_cm2")
        if "mbit" in self.model_fields_set and self.fit_per_mbit is None:
            raise ValueError("mbit is the unit of fit_per_mbit, which is not given")
        return self

    def _of_a_test(self) -> None:
        counted = "upsets" if self.events is None else "events"
        exposed = [name for name in _EXPOSED if getattr(self, name) is not None]
        if self.upsets is None and self.events is None:
            for name in (*exposed, *(["bits"] if self.bits is not None else [])):
                raise ValueError(f"{name} is of a test: it needs upsets{OF_CLUSTERS}")
            return
        if len(exposed) != 1:
            found = " and ".join(exposed) or "none of them"
            raise ValueError(f"{counted} needs one of {', '.join(_EXPOSED)}; received {found}")
        if self.bits is None:
            raise ValueError(f"{counted} needs bits, those of each device that was tested")

    @property
    def counted(self) -> Optional[Counted]:
        """What the rate was counted from; None: it is stated."""
        number_of = self.upsets if self.events is None else self.events
        if number_of is None:
            return None
        assert self.bits is not None
        if self.device_hours is not None:
            time = self.device_hours * UNITS["h"]
        else:
            assert self.fluence_per_cm2 is not None and self.flux_per_cm2_s is not None
            time = self.fluence_per_cm2 / self.flux_per_cm2_s
        return Counted("upsets" if self.events is None else "events", number_of, time * self.bits)

    @property
    def per_bit_second(self) -> float:
        """lambda: upsets per bit and second; of ``events``, events that begin at a bit."""
        if self.fit_per_mbit is not None:
            return self.fit_per_mbit / (FIT_SECONDS * MBIT[self.mbit])
        if self.upsets_per_bit_day is not None:
            return self.upsets_per_bit_day / UNITS["d"]
        if self.counted is not None:
            return self.counted.per_bit_second
        assert self.cross_section_cm2_per_bit is not None and self.flux_per_cm2_s is not None
        return self.cross_section_cm2_per_bit * self.flux_per_cm2_s


_RATES = ("fit_per_mbit", "upsets_per_bit_day", "cross_section_cm2_per_bit", "upsets", "events")
_EXPOSED = ("fluence_per_cm2", "device_hours")
#: Behind ``upsets``, in messages.
OF_CLUSTERS = " (of mode mbu, events)"


def ber_after(per_bit_second: float, time: float, relaxation: float = 2.0) -> float:
    """BER after ``time`` seconds; of plain upsets the probability that a bit was upset an odd
    number of times."""
    return -math.expm1(-relaxation * per_bit_second * time) / relaxation


def upsets_per_bit(ber: float, relaxation: float = 2.0) -> float:
    """The inverse: lambda * t that leads to ``ber``. Raises ValueError from 1 / ``relaxation`` on,
    which no time leads to."""
    if not 0.0 < ber * relaxation < 1.0:
        limit = 1.0 / relaxation
        raise ValueError(f"a BER of {ber:g} is reached at no time: must be in (0, {limit:g})")
    return -math.log1p(-relaxation * ber) / relaxation


def in_all_units(per_bit_second: float, flux: Optional[float] = None) -> Dict[str, float]:
    """One rate in every unit by its name; a cross section where the flux is known."""
    units = {
        "upsets per bit and second": per_bit_second,
        "upsets per bit and day": per_bit_second * UNITS["d"],
        "FIT per Mbit (10^6 bits)": per_bit_second * FIT_SECONDS * MBIT["decimal"],
        "FIT per Mbit (2^20 bits)": per_bit_second * FIT_SECONDS * MBIT["binary"],
    }
    if flux is not None:
        units[f"cross section, cm2 per bit, at {flux:g} particles/(cm2 s)"] = per_bit_second / flux
    return units
