"""What a sensitivity study in a folder says to the planner of protection. No torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from scipy import special

from ..errors import ConfigError
from ..fields import selected_bits
from ..memory.layout import MemorySettings
from .additive import variances
from .folders import merged, summary_of
from .planner import Part, Plan, plan, strongest
from .summary import Summary


def parts_of(manifest: Mapping[str, Any], summary: Summary) -> List[Part]:
    """The sites and their drops per upset: upper bounds that hold for all strata together
    (Student's t, Bonferroni), since a site whose few trials showed no drop is not one that has
    none (:func:`.additive.variances`). Raises ConfigError without a study by layer."""
    by_site: Dict[str, Dict[Optional[int], Any]] = {}
    for one in summary.sensitivity:
        if one.site is not None:
            by_site.setdefault(one.site, {})[one.bit] = one
    if not by_site:
        raise ConfigError(
            "has no sensitivity study by layer: add to its campaign sensitivity: {by: [layer]} or "
            "{by: [layer, bit]} and run it again (what it has is kept)"
        )
    bounds = upper_bounds(summary)
    parts = []
    for site, strata in by_site.items():
        (width,) = manifest["identity"]["widths"][site]
        exposed = selected_bits(_bits(manifest["identity"]["section"]["bits"]), width)
        if None in strata:
            codes = strata[None].words // bin(exposed).count("1")
            drop = bounds[strata[None].name]
            drops = tuple(drop if exposed >> b & 1 else 0.0 for b in range(width))
        else:
            codes = max(one.words for one in strata.values())
            drops = tuple(bounds[strata[b].name] if b in strata else 0.0 for b in range(width))
        parts.append(Part(site, codes, width, drops))
    return parts


def upper_bounds(summary: Summary) -> Dict[str, float]:
    """By stratum, how much an upset may cost: all of them hold with the confidence of the
    campaign, if drops are near normal."""
    strata = summary.sensitivity
    each = 1.0 - (1.0 - summary.confidence) / len(strata)
    found = {}
    for one, variance in zip(strata, variances(strata)):
        half = 0.0
        if not one.exhaustive:
            t = float(special.stdtrit(max(one.trials - 1, 1), each))
            half = t * math.sqrt(variance / one.trials)
        found[one.name] = max(one.drop + half, 0.0)
    return found


def _bits(bits: Any) -> Any:
    return tuple(bits) if isinstance(bits, list) else bits


def make_plan(
    folder: Path,
    ber: float,
    max_drop: float,
    schemes: Sequence[str],
    on_detected: str,
    budget: Optional[int],
    before: Optional[Plan] = None,
) -> Plan:
    """The plan for the campaign in ``folder``. After a plan ``before`` that did not hold: the
    strongest one where the study leads to no other. Raises ConfigError if there is none."""
    manifest = merged([folder])[0]
    section = manifest["identity"]["section"]
    if section.get("protection"):
        raise ConfigError(f"{folder}: its memory is protected already; plan from one that is not")
    memory = MemorySettings(**section.get("memory", {}))
    try:
        parts = parts_of(manifest, summary_of([folder]))
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from error
    if max_drop > 0.0:
        try:
            found = plan(parts, ber, max_drop, schemes, on_detected, budget, memory)
        except ConfigError:
            if before is None:
                raise
        else:
            if before is None or found.choices != before.choices:
                return found
    return strongest(parts, ber, schemes, on_detected, budget, memory)


def independence_note(folder: Path) -> Optional[str]:
    """What to say before a plan for a memory whose upsets are not independent flips."""
    mode = merged([folder])[0]["identity"]["section"].get("mode", "ber")
    if mode == "ber":
        return None
    return (
        f"note: predictions are those of independent upsets (mode ber), and the memory has mode "
        f"{mode}: only the verifying campaign tells what a plan is worth"
    )
