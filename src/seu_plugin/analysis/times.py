"""From the BER of a threshold to the time that leads to it at a physical rate. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Tuple

from pydantic import ValidationError

from ..errors import ConfigError
from ..faults.rates import UNITS, Rate, duration, upsets_per_bit
from ..faults.upset_rate import UpsetRate, relaxation_of
from ..settings.campaign import CampaignSettings
from .intervals import Interval
from .threshold import Threshold

Ends = Tuple[Optional[float], Optional[float]]


@dataclass(frozen=True)
class ThresholdTime:
    """Seconds after which the mean drop is max_drop, and their interval; None: not known on that
    side. Of a counted rate, the interval holds whatever is in both intervals, of the rate and of
    the BER, each with half of what the confidence leaves (Bonferroni)."""

    time: Optional[float]
    low: Optional[float]
    high: Optional[float]


@dataclass(frozen=True)
class RateSummary:
    """The physical rate of a campaign, upsets of a bit and second. ``interval`` is that of what a
    test counted, None where the rate is stated; ``count`` says what. ``ber`` after ``exposure``
    seconds, with its interval. ``times``: of each architecture's threshold."""

    per_bit_second: float
    confidence: float
    interval: Optional[Interval]
    count: Optional[str]
    exposure: Optional[float]
    ber: Optional[float]
    ber_interval: Optional[Interval]
    times: Tuple[ThresholdTime, ...]
    max_drop: Optional[float]

    def text(self) -> List[str]:
        """For people."""
        a_day = self.per_bit_second * UNITS["d"]
        if self.interval is None:
            lines = [f"rate: {a_day:.4g} upsets of a bit a day, as stated, without uncertainty"]
        else:
            low, high = (end * UNITS["d"] for end in self.interval)
            lines = [
                f"rate: {a_day:.4g} upsets of a bit a day, counted from {self.count} "
                f"({self._sure} {low:.3g} ... {high:.3g}, Poisson)"
            ]
        if self.exposure is not None:
            ends = self.ber_interval
            told = "" if ends is None else f" ({self._sure} {ends.low:.3g} ... {ends.high:.3g})"
            lines.append(f"after {duration(self.exposure)}: BER {self.ber:.3g}{told}")
        for position, one in enumerate(self.times):
            which = f" of architecture {position}" if len(self.times) > 1 else ""
            lines += [] if one.time is None else [self._after(one, which)]
        return lines

    @property
    def _sure(self) -> str:
        return f"{100 * self.confidence:g} % interval"

    def _after(self, one: ThresholdTime, which: str) -> str:
        assert one.time is not None
        ends = " ... ".join(
            "unbounded" if end is None else duration(end) for end in (one.low, one.high)
        )
        both = "of the BER alone" if self.interval is None else "of the BER and of the rate"
        return (
            f"without scrubbing, mean accuracy{which} has dropped by {self.max_drop:g} after "
            f"{duration(one.time)} ({self._sure} {ends}, {both})"
        )


def rate_of(manifest: Mapping[str, Any], plan: CampaignSettings) -> Optional[UpsetRate]:
    """The rate of a campaign; of a mission in a folder of an earlier version, that which its BERs
    tell. None: it has none, or one of each environment. Raises ConfigError for one that is not of
    its fault model, and ValidationError for a bad section."""
    section = manifest["identity"]["section"]
    relaxation = relaxation_of(section)
    if manifest.get("rate") is not None:
        try:
            return UpsetRate.of(Rate(**manifest["rate"]), section)
        except ValidationError:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from None
    if plan.mission is None or not plan.ber or "mission" in section:
        return None
    first = plan.mission.period / plan.mission.points
    often = upsets_per_bit(plan.ber[0], relaxation) / first
    return UpsetRate(often, relaxation)


def each_confidence(rate: Optional[UpsetRate], confidence: float) -> float:
    """Of the interval of the BER, so that the one of the time has ``confidence``."""
    return confidence if rate is None or rate.counted is None else (1.0 + confidence) / 2.0


def rate_summary(
    rate: UpsetRate,
    confidence: float,
    thresholds: List[Threshold],
    max_drop: Optional[float],
) -> RateSummary:
    """``thresholds`` have the confidence of :func:`each_confidence`."""
    ends = rate.interval(confidence)
    interval = None if ends is None else Interval(*ends)
    ber = ber_interval = count = None
    if rate.exposure is not None:
        ber = rate.ber(rate.exposure)
        if interval is not None:
            ber_interval = Interval(*(rate.at(end).ber(rate.exposure) for end in interval))
    if rate.counted is not None:
        count = f"{rate.counted.number:,} {rate.counted.what}"
        count += f" of {rate.size:.3g} bits on average" if rate.counted.what == "events" else ""
    slow, fast = rate.interval(each_confidence(rate, confidence)) or (rate.per_bit_second,) * 2
    return RateSummary(
        rate.per_bit_second,
        confidence,
        interval,
        count,
        rate.exposure,
        ber,
        ber_interval,
        tuple(_time(one, rate, slow, fast) for one in thresholds),
        max_drop,
    )


def _time(threshold: Threshold, rate: UpsetRate, slow: float, fast: float) -> ThresholdTime:
    low, high = threshold.headline
    return ThresholdTime(
        _until(threshold.ber, rate, rate.per_bit_second),
        _until(low, rate, fast),
        _until(high, rate, slow),
    )


def _until(ber: Optional[float], rate: UpsetRate, per_bit_second: float) -> Optional[float]:
    """Seconds that lead to ``ber``; None: no time does."""
    if ber is None or ber * rate.relaxation >= 1.0 or per_bit_second <= 0.0:
        return None
    return upsets_per_bit(ber, rate.relaxation) / per_bit_second
