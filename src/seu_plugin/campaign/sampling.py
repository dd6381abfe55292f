"""Whether trials are drawn given that something may be read wrong. No torch."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence

from ..analysis.manifest import NOT_KNOWN
from ..analysis.threshold_search import HIGHEST
from ..errors import ConfigError
from ..faults.conditional import ConditionalMemory
from ..faults.mechanisms import PLACED
from ..faults.site_memory import FaultSettings, SiteMemory
from ..settings.campaign import CampaignSettings
from ..settings.injection import InjectionSettings


def plain_because(settings: InjectionSettings, campaign: CampaignSettings) -> Optional[str]:
    """Why trials are drawn plainly, as far as settings say; None: they need not be."""
    if campaign.sampling == "plain":
        return "campaign.sampling is plain"
    if settings.mode in PLACED:
        return f"mode {settings.mode} places its upsets"
    if settings.targets != ("weights",):
        return f"targets are {', '.join(settings.targets)}"
    if settings.persistence == "per_forward":
        return "persistence is per_forward: each forward has a map of its own"
    return None


def site_memories(
    widths: Mapping[str, Sequence[int]],
    words: Mapping[str, int],
    settings: FaultSettings,
) -> List[SiteMemory]:
    """The memories of all sites that were used. Raises ConfigError for one of several widths."""
    memories: List[SiteMemory] = []
    for name, used in widths.items():
        if len(used) > 1:
            raise ConfigError(f"site {name} is used at several widths")
        memories += [SiteMemory(name, words[name], width, settings) for width in used]
    return memories


def described(
    memory: Optional[ConditionalMemory], why_plain: Optional[str], why_no_images: Optional[str]
) -> Mapping[str, Any]:
    """For the manifest."""
    images = {"images": "known" if why_no_images is None else f"{NOT_KNOWN}{why_no_images}"}
    if memory is None:
        return {"sampling": f"plain: {why_plain}", **images}
    found = memory.population
    fields = {"kinds": [list(kind) for kind in found.kinds], "factor": found.factor}
    return {"sampling": "conditional", "population": fields, **images}


def check_bers(memory: ConditionalMemory, bers: Sequence[float]) -> None:
    """Raise ConfigError for a BER at which a float64 sees no probability that anything is read
    wrong."""
    for ber in bers:
        if not memory.population.chance(ber) > 0.0:
            raise ConfigError(
                f"campaign.ber: {ber:g} is too small: the probability that anything is read wrong "
                "is below what a float64 holds"
            )


def highest_ber(settings: InjectionSettings) -> float:
    """Up to which a threshold is looked for: no direction's rate is more than certain."""
    if settings.mode != "asymmetric":
        return HIGHEST
    rates = settings.asymmetric
    return min(HIGHEST, 1.0 / max(rates.zero_to_one, rates.one_to_zero))
