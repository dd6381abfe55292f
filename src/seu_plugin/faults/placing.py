"""A given number of upsets, placed anywhere in several sites together. No torch."""

from __future__ import annotations

from typing import Dict, Mapping, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..errors import SiteError
from .dense_map import dense_positions
from .fault_map import BITS_LIMIT, DENSE_FROM, FaultMap, distinct
from .seeding import Stream

#: Site name -> (words, exposed bit positions).
Memory = Mapping[str, Tuple[int, Sequence[int]]]


def stored_bits(memory: Memory, what: str) -> int:
    """Exposed bits of ``memory``. Raises SiteError, naming ``what``, for 2**32 or more."""
    total = sum(words * len(bits) for words, bits in memory.values())
    if total >= BITS_LIMIT:
        raise SiteError(f"{what}: {total} bits are too many")
    return total


def place(
    memory: Memory, upsets: int, what: str, seed: int, trial: int, draw: int = 0
) -> Dict[str, FaultMap]:
    """``upsets`` distinct bits of ``memory``, all sets of them alike likely, by site name.

    From the stream of the name ``what``: fewer upsets are a subset of more. Raises SiteError for
    a memory of 2**32 bits or more, or of fewer than are upset.
    """
    total = stored_bits(memory, what)
    if total < upsets:
        raise SiteError(f"{what}: {upsets} upsets do not fit into {total} bits")
    stream = Stream(seed, what, trial, draw)
    if 0 < DENSE_FROM * total <= upsets:  # the same positions, without sorting them
        return placed_at(dense_positions(stream, total, upsets), memory)
    positions = np.zeros(0, dtype=np.int64)
    while positions.size < upsets:
        more = stream.positions(upsets - positions.size, total)
        positions = distinct(np.concatenate((positions, more.astype(np.int64))))
    return placed_at(positions, memory)


def placed_at(positions: npt.NDArray[np.int64], memory: Memory) -> Dict[str, FaultMap]:
    """The upsets at these positions, distinct and ascending, by site name. Sites come in the
    order of their names, and in each the exposed bits of word 0 first."""
    maps: Dict[str, FaultMap] = {}
    start = 0
    for site, (words, bits) in sorted(memory.items()):
        end = start + words * len(bits)
        first, last = np.searchsorted(positions, (start, end))
        if first < last:
            maps[site] = _fault_map(positions[first:last] - start, bits)
        start = end
    return maps


def _fault_map(positions: npt.NDArray[np.int64], bits: Sequence[int]) -> FaultMap:
    words, which = np.divmod(positions, len(bits))
    index = distinct(words)
    masks = np.left_shift(1, np.array(bits, dtype=np.int64)[which]).astype(np.int32)
    return FaultMap(
        index, np.bitwise_or.reduceat(masks, np.searchsorted(words, index)), positions.size
    )
