"""``seu rate``: upset rates in every unit, the BER they make of an exposure, and back."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Callable, List, Mapping, NamedTuple, Optional, Tuple

import click

from ..errors import ConfigError
from .arguments import Count

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ..faults.rates import Rate

#: Options of the command, by the keys that they stand for.
_OPTIONS = {
    "fit_per_mbit": "--fit-per-mbit",
    "mbit": "--mbit",
    "upsets_per_bit_day": "--upsets-per-bit-day",
    "cross_section_cm2_per_bit": "--cross-section",
    "flux_per_cm2_s": "--flux",
    "upsets": "--upsets",
    "fluence_per_cm2": "--fluence",
    "device_hours": "--device-hours",
    "bits": "--tested-bits",
}


@click.command(short_help="Convert upset rates, exposures and BERs.")
@click.option("--fit-per-mbit", type=float, help="Upsets in 10^9 hours of a Mbit.")
@click.option(
    "--mbit",
    type=click.Choice(["decimal", "binary"]),
    help="Bits of a Mbit: decimal 10^6 (default), binary 2^20.",
)
@click.option("--upsets-per-bit-day", type=float, help="Upsets of a bit a day.")
@click.option("--cross-section", type=float, help="Cross section of a bit in cm2; with --flux.")
@click.option("--flux", type=float, help="Particles through a cm2 in a second.")
@click.option("--upsets", type=Count(min=0), help="Upsets that a test counted.")
@click.option("--fluence", type=float, help="Of the test: particles through a cm2 in all.")
@click.option("--device-hours", type=float, help="Of the test: hours times devices.")
@click.option("--tested-bits", type=Count(min=1), help="Of the test: bits of each device.")
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1.0, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of the interval of a counted rate.",
)
@click.option("--exposure", help="How long upsets add up, for example 30d: s, min, h, d, y.")
@click.option("--ber", type=float, help="Bit error rate, to be converted back.")
@click.option("--bits", type=Count(min=1), help="Stored bits, to say how many are wrong.")
def rate(
    fit_per_mbit: Optional[float],
    mbit: Optional[str],
    upsets_per_bit_day: Optional[float],
    cross_section: Optional[float],
    flux: Optional[float],
    upsets: Optional[int],
    fluence: Optional[float],
    device_hours: Optional[float],
    tested_bits: Optional[int],
    confidence: float,
    exposure: Optional[str],
    ber: Optional[float],
    bits: Optional[int],
) -> None:
    """Convert upset rates, exposures and bit error rates into each other.

    A rate and an exposure give the BER; --ber and --exposure the rate; a rate and --ber the
    exposure; a rate alone its other units. A rate may be what a test counted: it then has an
    interval (Poisson, Garwood 1936), also if no upset was seen. For example:

      seu rate --fit-per-mbit 500 --exposure 30d

      seu rate --upsets 12 --fluence 1e10 --tested-bits 4.2e7 --flux 1.4 --exposure 30d
    """
    given = {
        "fit_per_mbit": fit_per_mbit,
        "mbit": mbit,
        "upsets_per_bit_day": upsets_per_bit_day,
        "cross_section_cm2_per_bit": cross_section,
        "flux_per_cm2_s": flux,
        "upsets": upsets,
        "fluence_per_cm2": fluence,
        "device_hours": device_hours,
        "bits": tested_bits,
    }
    for line in converted(given, exposure, ber, bits, confidence):
        click.echo(line)


class _Told(NamedTuple):
    """A value, and the ends of its interval where it was counted."""

    value: float
    ends: Optional[Tuple[float, float]] = None

    def through(self, change: Callable[[float], float]) -> _Told:
        """Of a monotone function of it."""
        if self.ends is None:
            return _Told(change(self.value))
        low, high = sorted(map(change, self.ends))
        return _Told(change(self.value), (low, high))

    def __str__(self) -> str:
        value = f"{self.value:.6g}"
        return value if self.ends is None else f"{value} ({_six(self.ends[0])} ... {self._high})"

    @property
    def _high(self) -> str:
        assert self.ends is not None
        return "unbounded" if math.isinf(self.ends[1]) else _six(self.ends[1])


def _six(value: float) -> str:
    return f"{value:.6g}"


def converted(
    rate: Mapping[str, Any],
    exposure: Optional[str],
    ber: Optional[float],
    bits: Optional[int],
    confidence: float = 0.95,
) -> List[str]:
    """The lines to print. ``rate`` holds keys of :class:`~seu_plugin.faults.rates.Rate`; two
    of rate, ``exposure`` and ``ber`` give the third, a rate alone its other units. What a test
    counted has intervals of ``confidence``.

    Raises ConfigError for what does not go together.
    """
    from ..faults.counted import garwood
    from ..faults.rates import seconds, upsets_per_bit

    flux, found = rate.get("flux_per_cm2_s"), _rate(rate)
    try:
        time = None if exposure is None else seconds(exposure)
    except ValueError as error:
        raise ConfigError(f"rate: --exposure {error}; received {exposure!r}") from None
    try:
        per_bit = None if ber is None else upsets_per_bit(ber)
    except ValueError as error:
        raise ConfigError(f"rate: --ber: {error}") from None
    if found is not None and time is not None and ber is not None:
        raise ConfigError("rate: give two of rate, --exposure and --ber; the third is the result")
    if found is not None:
        counted = found.counted
        ends = None if counted is None else counted.interval(confidence)
        often = _Told(found.per_bit_second, ends)
    elif time is None or per_bit is None:
        raise ConfigError("rate: needs a rate, or --ber and --exposure; see seu rate --help")
    else:
        counted, often = None, _Told(per_bit / time)
    if not 0.0 < (often.ends[1] if often.ends else often.value) < math.inf:
        told = f"{often.value:g} upsets per bit and second"
        raise ConfigError(f"rate: {told} are not to be computed with")
    if bits is not None and time is None and per_bit is None:
        raise ConfigError("rate: --bits counts wrong bits after --exposure, which is not given")
    lines = []
    if counted is not None:
        mean = _Told(counted.number, garwood(counted.number, confidence))
        sure = f"{100 * confidence:g} % interval of their mean, Poisson (Garwood 1936)"
        lines = [f"upsets counted: {mean}, {sure}", ""]
    if found is not None and found.fluence_per_cm2 is not None and flux is None:
        if time is not None or per_bit is not None:
            raise ConfigError(
                "rate: --fluence is of the test: needs --flux, of where the memory is to work"
            )
        return [*lines, f"{often}  cross section, cm2 per bit"]
    lines += _units(often, flux)
    if time is not None:
        lines += _after(often, _Told(time), often.through(lambda rate: rate * time), bits)
    elif per_bit is not None:
        until = often.through(lambda rate: per_bit / rate if rate else math.inf)
        lines += _after(often, until, _Told(per_bit), bits)
    return lines


def _units(often: _Told, flux: Optional[float]) -> List[str]:
    from ..faults.rates import in_all_units

    rows = [
        (str(often.through(lambda rate: rate * factor)), unit)  # noqa: B023
        for unit, factor in in_all_units(1.0, flux).items()
    ]
    width = max(12, *(len(value) for value, _ in rows))
    return [f"{value:<{width}} {unit}" for value, unit in rows]


def _after(often: _Told, time: _Told, per_bit: _Told, bits: Optional[int]) -> List[str]:
    from ..faults.rates import FORMULA, ber_after, duration

    wrong = per_bit.through(lambda upsets: ber_after(upsets, 1.0))
    length = f"{duration(time.value)} = " if math.isfinite(time.value) else ""
    lines = [
        "",
        FORMULA,
        f"lambda = {often} /s, t = {length}{time} s, lambda * t = {per_bit}",
        f"BER = {wrong}",
    ]
    if bits is not None:
        many = wrong.through(lambda ber: bits * ber)
        lines.append(f"expected wrong bits of {bits:,}: {many}")
    return lines


def _rate(given: Mapping[str, Any]) -> Optional[Rate]:
    """The rate; None: none is given. The flux of one that needs none is that which its cross
    section is told for; without any, a fluence is of one particle a cm2 and second, so that the
    rate is the cross section. Raises ConfigError."""
    from pydantic import ValidationError

    from ..faults.rates import Rate

    flux = given.get("flux_per_cm2_s")
    known = {key: value for key, value in given.items() if value is not None}
    if flux is not None and not 0.0 < flux < math.inf:
        raise ConfigError(f"rate: --flux must be above 0; received {flux:g}")
    if not {"cross_section_cm2_per_bit", "fluence_per_cm2"} & set(known):
        known.pop("flux_per_cm2_s", None)
    elif flux is None and "fluence_per_cm2" in known:
        known["flux_per_cm2_s"] = 1.0
    if set(known) == {"mbit"}:  # FIT are told in both
        del known["mbit"]
    try:
        return Rate(**known) if known else None
    except ValidationError as error:
        raise ConfigError(f"rate: {_said_of_options(error)}") from None


def _said_of_options(error: ValidationError) -> str:
    """The first mistake, in the names of the options."""
    from ..faults.rates import OF_CLUSTERS
    from ..fields import said

    mistake = error.errors()[0]
    message = said(str(mistake["msg"])).replace(OF_CLUSTERS, "")
    if mistake["loc"]:
        message = f"{mistake['loc'][0]} {message}; received {mistake['input']}"
    names = re.compile(r"\b(?:" + "|".join(_OPTIONS) + r")\b")
    return names.sub(lambda found: _OPTIONS[found[0]], message)
