"""Strata of a sensitivity study: parts of the memory, and upsets placed in one. No torch."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import numpy as np

from ..errors import SiteError
from ..faults.fault_map import FaultMap
from ..faults.placing import Memory, place, placed_at
from ..settings.campaign import Sensitivity
from .trials import Trial, stratum


def strata(memory: Memory, sensitivity: Sensitivity) -> Dict[str, int]:
    """Stored bits of each stratum by name, in the order of ``memory``."""
    found: Dict[str, int] = {}
    for site, (words, bits) in memory.items():
        for bit in bits:
            name = stratum(
                site if "layer" in sensitivity.by else None,
                bit if "bit" in sensitivity.by else None,
            )
            found[name] = found.get(name, 0) + words
    if "layer" not in sensitivity.by:
        found = dict(sorted(found.items(), key=lambda item: int(item[0].split("#")[1])))
    return found


def is_exhaustive(stored_bits: int, sensitivity: Sensitivity) -> bool:
    """Whether every bit of a stratum is upset once, in place of a sample."""
    return sensitivity.placed(stored_bits) == 1 and stored_bits <= sensitivity.trials


def stratum_trials(name: str, stored_bits: int, sensitivity: Sensitivity) -> List[Trial]:
    """The trials of one stratum. Raises SiteError if it has fewer bits than upsets."""
    site, bit = _parsed(name)
    if stored_bits < sensitivity.upsets:
        raise SiteError(
            f"sensitivity.upsets: is {sensitivity.upsets}, but stratum {name} has "
            f"{stored_bits} bits"
        )
    exhaustive = is_exhaustive(stored_bits, sensitivity)
    number = stored_bits if exhaustive else sensitivity.trials
    placed = sensitivity.placed(stored_bits)
    return [Trial(n, None, site, bit, placed, exhaustive) for n in range(number)]


def place_trial(trial: Trial, memory: Memory, seed: int) -> Dict[str, FaultMap]:
    """The upsets of one trial, by site name: ``trial.placed`` distinct bits of its stratum; the
    bit of its number if exhaustive.

    Raises SiteError for a sample of a stratum of 2**32 bits or more, or of fewer than are upset.
    """
    part = {
        site: (words, [b for b in bits if trial.bit in (None, b)])
        for site, (words, bits) in memory.items()
        if trial.site in (None, site)
    }
    where = f"stratum {stratum(trial.site, trial.bit)}"
    if trial.exhaustive:
        return placed_at(np.array([trial.number], dtype=np.int64), part)
    return place(part, trial.placed, where, seed, trial.number)


def _parsed(name: str) -> Tuple[Optional[str], Optional[int]]:
    site, _, bit = name.rpartition("#")
    return None if site == "*" else site, None if bit == "*" else int(bit)
