"""What a section's mission is: whether it can be, and when its memory meets how many upsets.
No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Tuple

from ..faults.itinerary import Itinerary
from ..faults.rates import seconds
from ..faults.upset_rate import UpsetRate
from .mission import Mission

if TYPE_CHECKING:
    from .section import FaultInjectionSection


def check_mission(section: FaultInjectionSection, mission: Mission) -> None:
    """Raise ValueError for a mission that cannot be followed."""
    if (section.rate is None) == (mission.environments is None):
        found = "neither" if section.rate is None else "both"
        raise ValueError(
            f"campaign.mission needs rate, or environments with a rate each; received {found}"
        )
    if section.mode == "stuck_at":
        raise ValueError("campaign.mission: a scrub does not mend a cell of mode stuck_at")
    if section.persistence == "per_forward":
        raise ValueError(
            "campaign.mission: upsets stay from scrub to scrub; persistence is per_forward"
        )
    if section.targets != ("weights",):
        raise ValueError(
            "campaign.mission: follows the memory of weights; targets are "
            f"{', '.join(section.targets)}"
        )
    if mission.correct_on_read is not None:
        if section.mode != "ber":
            raise ValueError(
                f"campaign.mission.correct_on_read: is for mode ber; the mode is {section.mode}"
            )
        if all(rule.scheme in ("none", "parity") for rule in section.protection):
            raise ValueError(
                "campaign.mission.correct_on_read needs protection with a code that corrects"
            )
    for one in environments(section, mission):
        ber, limit = one.ber(mission.period), min(1.0, 1.0 / one.relaxation)
        if not 0.0 < ber < limit:
            raise ValueError(
                f"campaign.mission: the BER before a scrub must be above 0 and below {limit:g}; "
                f"with this rate it is {ber:g}"
            )
    trained = section.enable_in_training and section.ber_by_epoch is None
    without = section.rate is not None and section.rate.exposure is None
    if without and (trained or section.enable_in_search):
        raise ValueError("rate.exposure: required for training and search, whose BER it makes")


def environments(section: FaultInjectionSection, mission: Mission) -> List[UpsetRate]:
    """The rates of the mission, in the order of its time."""
    written = section.model_dump()
    if mission.environments is None:
        assert section.rate is not None
        return [UpsetRate.of(section.rate, written)]
    return [UpsetRate.of(one.rate, written) for one in mission.environments]


def itinerary(section: FaultInjectionSection, mission: Mission, confidence: float) -> Itinerary:
    """The mission at its rate; of counted ones, also at the ends of intervals that together hold
    all rates with half of what ``confidence`` leaves."""
    several = environments(section, mission)
    starts = mission.starts() or (0.0,)
    rates: Dict[str, Tuple[Tuple[float, float], ...]] = {
        "": tuple((start, one.per_bit_second) for start, one in zip(starts, several))
    }
    counted = [one for one in several if one.counted is not None]
    if counted:
        sure = 1.0 - (1.0 - confidence) / 2.0 / len(counted)
        ends = [one.interval(sure) or (one.per_bit_second,) * 2 for one in several]
        for i, name in enumerate(("low", "high")):
            rates[name] = tuple((start, end[i]) for start, end in zip(starts, ends))
    read = None if mission.correct_on_read is None else seconds(mission.correct_on_read)
    return Itinerary(
        seconds(mission.duration),
        mission.period,
        mission.points,
        rates,
        mission.scrubbing == "sweeping",
        read,
    )
