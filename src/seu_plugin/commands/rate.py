"""``seu rate``: upset rates in every unit, the BER they make of an exposure, and back."""

from __future__ import annotations

import math
import re
from typing import Any, Dict, List, Optional

import click

from ..errors import ConfigError
from .arguments import Count

#: Options of the command, by the keys that they stand for.
_OPTIONS = {
    "fit_per_mbit": "--fit-per-mbit",
    "mbit": "--mbit",
    "upsets_per_bit_day": "--upsets-per-bit-day",
    "cross_section_cm2_per_bit": "--cross-section",
    "flux_per_cm2_s": "--flux",
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
@click.option("--exposure", help="How long upsets add up, for example 30d: s, min, h, d, y.")
@click.option("--ber", type=float, help="Bit error rate, to be converted back.")
@click.option("--bits", type=Count(min=1), help="Stored bits, to say how many are wrong.")
def rate(
    fit_per_mbit: Optional[float],
    mbit: Optional[str],
    upsets_per_bit_day: Optional[float],
    cross_section: Optional[float],
    flux: Optional[float],
    exposure: Optional[str],
    ber: Optional[float],
    bits: Optional[int],
) -> None:
    """Convert upset rates, exposures and bit error rates into each other.

    A rate and an exposure give the BER; --ber and --exposure the rate; a rate and --ber the
    exposure; a rate alone its other units. For example:

      seu rate --fit-per-mbit 500 --exposure 30d
    """
    given = {
        "fit_per_mbit": fit_per_mbit,
        "mbit": mbit,
        "upsets_per_bit_day": upsets_per_bit_day,
        "cross_section_cm2_per_bit": cross_section,
        "flux_per_cm2_s": flux,
    }
    for line in converted(given, exposure, ber, bits):
        click.echo(line)


def converted(
    rate: Dict[str, Any], exposure: Optional[str], ber: Optional[float], bits: Optional[int]
) -> List[str]:
    """The lines to print. ``rate`` holds keys of :class:`~seu_plugin.faults.rates.Rate`; two
    of rate, ``exposure`` and ``ber`` give the third, a rate alone its other units.

    Raises ConfigError for what does not go together.
    """
    from pydantic import ValidationError

    from ..faults.rates import FORMULA, Rate, ber_after, duration, in_all_units, seconds
    from ..faults.rates import upsets_per_bit as per_bit_of

    flux = rate.get("flux_per_cm2_s")
    known = {key: value for key, value in rate.items() if value is not None}
    if flux is not None and not 0.0 < flux < math.inf:
        raise ConfigError(f"rate: --flux must be above 0; received {flux:g}")
    if "cross_section_cm2_per_bit" not in known:  # the flux that a cross section is told for
        known.pop("flux_per_cm2_s", None)
    if set(known) == {"mbit"}:  # FIT are told in both
        del known["mbit"]
    try:
        often = Rate(**known).per_bit_second if known else None
    except ValidationError as error:
        raise ConfigError(f"rate: {_said_of_options(error)}") from None
    try:
        time = None if exposure is None else seconds(exposure)
    except ValueError as error:
        raise ConfigError(f"rate: --exposure {error}; received {exposure!r}") from None
    try:
        per_bit = None if ber is None else per_bit_of(ber)
    except ValueError as error:
        raise ConfigError(f"rate: --ber: {error}") from None
    if often is not None and time is not None and ber is not None:
        raise ConfigError("rate: give two of rate, --exposure and --ber; the third is the result")
    if often is None:
        if time is None or per_bit is None:
            raise ConfigError("rate: needs a rate, or --ber and --exposure; see seu rate --help")
        often = per_bit / time
    if not 0.0 < often < math.inf:
        raise ConfigError(f"rate: {often:g} upsets per bit and second are not to be computed with")
    lines = [f"{value:<12.6g} {unit}" for unit, value in in_all_units(often, flux).items()]
    if time is None and per_bit is not None:
        time = per_bit / often
    if time is None and bits is not None:
        raise ConfigError("rate: --bits counts wrong bits after --exposure, which is not given")
    if time is not None:
        ber = ber_after(often, time)
        lines += [
            "",
            FORMULA,
            f"lambda = {often:.6g} /s, t = {duration(time)} = {time:.6g} s, "
            f"lambda * t = {often * time:.6g}",
            f"BER = {ber:.6g}",
        ]
        if bits is not None:
            lines.append(f"expected wrong bits of {bits:,}: {bits * ber:.6g}")
    return lines


def _said_of_options(error: Any) -> str:
    """The first mistake, in the names of the options."""
    from ..fields import said

    mistake = error.errors()[0]
    message = said(str(mistake["msg"]))
    if mistake["loc"]:
        message = f"{mistake['loc'][0]} {message}; received {mistake['input']}"
    names = re.compile(r"\b(?:" + "|".join(_OPTIONS) + r")\b")
    return names.sub(lambda found: _OPTIONS[found[0]], message)
