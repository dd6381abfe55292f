"""A physical rate under a fault model: upsets of a bit, and the BERs they make. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping, Optional, Tuple

from .counted import Counted
from .mechanisms import AsymmetricRates, ClusterSettings
from .rates import Rate, ber_after, seconds


@dataclass(frozen=True)
class UpsetRate:
    """``per_bit_second``: upsets of a bit and second. ``size``: upsets of each event ``counted``,
    1 unless these are clusters, whose sizes are taken as known. ``relaxation``: that of the fault
    model (:func:`relaxation`). ``exposure`` in seconds."""

    per_bit_second: float
    relaxation: float = 2.0
    counted: Optional[Counted] = None
    size: float = 1.0
    exposure: Optional[float] = None

    @classmethod
    def of(cls, rate: Rate, section: Mapping[str, Any]) -> UpsetRate:
        """``rate`` under the fault model of a section's keys as written.

        Raises ValidationError for bad ones, ValueError for counts that are not of this fault model.
        """
        mode, counted, size = section.get("mode", "ber"), rate.counted, 1.0
        relaxation = relaxation_of(section)
        if mode == "mbu" and rate.upsets is not None:
            raise ValueError(
                "rate.upsets: of mode mbu, one particle upsets several bits: count the particles, "
                "as events"
            )
        if rate.events is not None:
            if mode != "mbu" or not section.get("mbu"):
                raise ValueError(
                    f"rate.events: is of mode mbu, whose particles upset several bits; of mode "
                    f"{mode}, count upsets"
                )
            size = ClusterSettings.model_validate(section["mbu"]).mean
        often = rate.per_bit_second * size
        exposure = None if rate.exposure is None else seconds(rate.exposure)
        return cls(often, relaxation, counted, size, exposure)

    def interval(self, confidence: float) -> Optional[Tuple[float, float]]:
        """Of ``per_bit_second``, of the Poisson count; None of a rate that is stated."""
        if self.counted is None:
            return None
        low, high = self.counted.interval(confidence)
        return low * self.size, high * self.size

    def at(self, per_bit_second: float) -> UpsetRate:
        """The same at another rate."""
        return replace(self, per_bit_second=per_bit_second)

    def ber(self, time: float) -> float:
        """After ``time`` seconds."""
        return ber_after(self.per_bit_second, time, self.relaxation)

    def bers(self, time: float, confidence: float) -> Tuple[float, ...]:
        """That BER; of a counted rate between those at the ends of its interval."""
        ends = self.interval(confidence)
        low, high = ends or (self.per_bit_second,) * 2
        rates = [rate for rate in (low, self.per_bit_second, high) if rate > 0.0]
        return tuple(sorted({self.at(rate).ber(time) for rate in rates}))


def relaxation(mode: str, rates: AsymmetricRates, clusters: Optional[ClusterSettings]) -> float:
    """s in BER = (1 - exp(-s * lambda * t)) / s: at which rate, in units of lambda, upsets drive a
    cell towards its final law. 2 where it flips to and fro alike; the sum of both factors where
    the directions differ; 1 where it is stuck for good; of clusters, 2 for each event."""
    if mode == "stuck_at":
        return 1.0
    if mode == "asymmetric":
        return rates.zero_to_one + rates.one_to_zero
    return 2.0 if clusters is None or mode != "mbu" else 2.0 / clusters.mean


def relaxation_of(section: Mapping[str, Any]) -> float:
    """:func:`relaxation` of a section's keys as written. Raises ValidationError for bad ones."""
    clusters = section.get("mbu")
    return relaxation(
        section.get("mode", "ber"),
        AsymmetricRates.model_validate(section.get("asymmetric") or {}),
        None if clusters is None else ClusterSettings.model_validate(clusters),
    )
