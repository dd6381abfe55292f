"""Cells of one kind of a site's memory, and what clusters of upsets do to them. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple

import numpy as np

from ..memory.ecc import Code
from ..memory.layout import Array, Ints, Packing
from .cell_map import CellMap, gathered
from .drawn import Drawn
from .mechanisms import Clusters
from .seeding import Streams


@dataclass(frozen=True)
class Block:
    """Cells of one kind: codes' bits packed into memory words, with the check bits of ``code``."""

    purpose: str
    packing: Packing
    array: Array
    code: Optional[Code] = None

    def cells(self, model: Clusters, streams: Streams, ber: float) -> BlockDraw:
        """What clusters do to the codes, and to the check bits of the memory words."""
        word, bit, drawn = model.draw(streams, self.purpose, self.array, ber)
        return self.upset(word, bit, drawn)

    def upset(self, word: Ints, bit: Ints, drawn: Tuple[Drawn, ...] = ()) -> BlockDraw:
        """What flips of these bits of memory words do."""
        in_data = bit < self.packing.word_bits
        code, slot = self.packing.find(word[in_data], bit[in_data])
        real = code >= 0
        positions = np.array(self.packing.positions, dtype=np.int64)
        index, masks = gathered(code[real], positions[slot[real]])
        data = CellMap(index, masks, masks)
        words, checks = gathered(word[~in_data], bit[~in_data] - self.packing.word_bits)
        return BlockDraw(data, CellMap(words, checks, checks), drawn)


class BlockDraw(NamedTuple):
    data: CellMap
    check: CellMap
    drawn: Tuple[Drawn, ...]
