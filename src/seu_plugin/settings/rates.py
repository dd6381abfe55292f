"""The BER that a section's ``rate`` makes. No torch."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from pydantic import ValidationError

from ..faults.rates import UNITS, Rate
from ..faults.upset_rate import UpsetRate


def with_ber_of_rate(values: Mapping[str, Any]) -> Dict[str, Any]:
    """Keys of a section with the ``ber`` that their ``rate`` makes of its exposure; 0 where no
    exposure is needed, and where what is wrong with the rate is said elsewhere.

    Raises ValueError for a rate that makes no BER, or another than the one beside it.
    """
    ber, nothing = values.get("ber"), {**values, "ber": 0.0}
    try:
        rate = Rate.model_validate(values["rate"])
        often = UpsetRate.of(rate, values)
    except ValidationError:
        return nothing
    if often.counted is not None and not often.counted.number:
        _, high = often.interval(0.95) or (0.0, 0.0)
        raise ValueError(
            f"rate.{often.counted.what}: 0 were counted, which is no rate to inject; at 95 % it is "
            f"at most {high * UNITS['d']:.4g} upsets of a bit a day: that as upsets_per_bit_day is "
            "the worst case"
        )
    if often.exposure is None:
        if not _has_mission(values.get("campaign")):
            raise ValueError("rate.exposure: required, for example 30 d")
        return nothing
    made = often.ber(often.exposure)
    if ber is not None and ber != made:
        raise ValueError(
            f"rate and ber exclude each other; received ber {ber!r}, and the rate makes {made:g}"
        )
    if not 0.0 < made <= 1.0:
        raise ValueError(f"rate: makes a BER of {made:g}, which must be above 0 and at most 1")
    return {**values, "ber": made}


def _has_mission(campaign: Any) -> bool:
    if isinstance(campaign, Mapping):
        return bool(campaign.get("mission"))
    return getattr(campaign, "mission", None) is not None
