"""Fault maps whose effect depends on what is stored. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Tuple

import numpy as np
import numpy.typing as npt

from .fault_map import FaultMap, as_mask, distinct, popcount

Masks = npt.NDArray[np.int32]


@dataclass(frozen=True)
class CellMap:
    """Cells that are struck, and what that does to what they hold.

    ``index``: words with a struck cell, ascending and distinct; int64 of shape [words hit]. A 0
    in the bits ``up`` becomes 1, a 1 in the bits ``down`` becomes 0; int32 of the same shape. Where
    both are the same, the bit flips, whatever it holds.
    """

    index: npt.NDArray[np.int64]
    up: Masks
    down: Masks

    def flips(self, stored: Any) -> Any:
        """The bits of ``stored`` (of the words ``index``) that change; numpy or torch."""
        return (~stored & self.up) | (stored & self.down)

    @property
    def independent(self) -> bool:
        """Whether bits flip whatever they hold."""
        return self.up is self.down or bool((self.up == self.down).all())

    def restricted_to(self, bits: int) -> CellMap:
        """Cells in the bit positions set in ``bits`` only."""
        mask = as_mask(bits)
        up, down = self.up & mask, self.down & mask
        hit = np.flatnonzero(up | down)
        return replace(self, index=self.index[hit], up=up[hit], down=down[hit])

    @property
    def struck(self) -> int:
        return popcount(self.up | self.down)

    def fault_map(self) -> FaultMap:
        """The same, where it is :attr:`independent`."""
        return FaultMap(self.index, self.up, popcount(self.up))

    @classmethod
    def of(cls, fault_map: FaultMap) -> CellMap:
        return cls(fault_map.index, fault_map.mask, fault_map.mask)


def empty() -> CellMap:
    nothing = np.zeros(0, dtype=np.int32)
    return CellMap(np.zeros(0, dtype=np.int64), nothing, nothing)


def together(*maps: CellMap) -> CellMap:
    """All struck cells of several maps of one memory."""
    maps = tuple(one for one in maps if one.index.size) or maps[:1]
    if len(maps) == 1:
        return maps[0]
    index = distinct(np.concatenate([one.index for one in maps]))
    up, down = aligned(index, maps[0])
    for one in maps[1:]:
        more_up, more_down = aligned(index, one)
        up, down = up | more_up, down | more_down
    return CellMap(index, up, down)


def aligned(index: npt.NDArray[np.int64], one: CellMap) -> Tuple[Masks, Masks]:
    """``up`` and ``down`` of ``one`` for the words ``index``, which hold all of its own."""
    up, down = np.zeros(index.size, dtype=np.int32), np.zeros(index.size, dtype=np.int32)
    places = np.searchsorted(index, one.index)
    up[places], down[places] = one.up, one.down
    return up, down


def gathered(
    words: npt.NDArray[np.int64], bits: npt.NDArray[np.int64]
) -> Tuple[npt.NDArray[np.int64], Masks]:
    """Distinct words ascending, and their masks, of single bits that flip; a bit that comes
    twice flips back. Words without a flipped bit are left out."""
    index = distinct(words)
    masks = np.zeros(index.size, dtype=np.int32)
    where = np.searchsorted(index, words)
    np.bitwise_xor.at(masks, where, np.left_shift(1, bits).astype(np.int32))
    hit = np.flatnonzero(masks)
    return index[hit], masks[hit]
