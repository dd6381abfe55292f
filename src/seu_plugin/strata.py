"""Strata of a sensitivity study: parts of the memory, and upsets placed in one. No torch."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from .campaign_settings import Sensitivity
from .errors import SiteError
from .fault_map import BITS_LIMIT, FaultMap, distinct
from .seeding import Stream
from .trials import Trial, stratum

#: Site name -> (words, exposed bit positions).
Memory = Mapping[str, Tuple[int, Sequence[int]]]


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
    return [
        Trial(n, None, site, bit, sensitivity.placed(stored_bits), exhaustive)
        for n in range(number)
    ]  # fmt: skip


def place(trial: Trial, memory: Memory, seed: int, draw: int = 0) -> Dict[str, FaultMap]:
    """The upsets of one trial: ``trial.placed`` distinct bits of its stratum, all sets of them
    alike likely, from a stream of the stratum's name; the bit of its number if exhaustive.

    Raises SiteError for a stratum of 2**32 bits or more, or of fewer than are upset.
    """
    parts = [
        (site, words, [b for b in bits if trial.bit in (None, b)])
        for site, (words, bits) in sorted(memory.items())
        if trial.site in (None, site)
    ]
    total = sum(words * len(bits) for _, words, bits in parts)
    where = f"stratum {stratum(trial.site, trial.bit)}"
    if total >= BITS_LIMIT:
        raise SiteError(f"{where}: {total} bits are too many")
    if total < trial.placed:
        raise SiteError(f"{where}: {trial.placed} upsets do not fit into {total} bits")
    positions = np.array([trial.number] if trial.exhaustive else [], dtype=np.int64)
    stream = Stream(seed, where, trial.number, draw)
    while positions.size < trial.placed:
        more = stream.positions(trial.placed - positions.size, total)
        positions = distinct(np.concatenate((positions, more.astype(np.int64))))
    maps: Dict[str, FaultMap] = {}
    start = 0
    for site, words, bits in parts:
        end = start + words * len(bits)
        first, last = np.searchsorted(positions, (start, end))
        if first < last:
            maps[site] = _fault_map(positions[first:last] - start, bits)
        start = end
    return maps


def _fault_map(positions: npt.NDArray[np.int64], bits: Sequence[int]) -> FaultMap:
    """Of distinct positions, ascending: those of word 0 in the order of ``bits`` come first."""
    words, which = np.divmod(positions, len(bits))
    index = distinct(words)
    masks = np.left_shift(1, np.array(bits, dtype=np.int64)[which]).astype(np.int32)
    return FaultMap(
        index, np.bitwise_or.reduceat(masks, np.searchsorted(words, index)), positions.size
    )


def _parsed(name: str) -> Tuple[Optional[str], Optional[int]]:
    site, _, bit = name.rpartition("#")
    return None if site == "*" else site, None if bit == "*" else int(bit)
