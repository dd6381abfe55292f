"""The independent units of a site's memory, and what struck cells of them are. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Protocol, Tuple

import numpy as np

from ..errors import InjectionError
from ..fields import selected_bits
from ..memory.layout import Ints, Packing
from ..memory.protection import ProtectionRule
from .blocks import Block
from .cell_map import CellMap, gathered, together
from .fault_map import FaultMap, popcount
from .mechanisms import Clusters
from .population import Kind
from .seeding import Streams
from .site_memory import COPIES, ReadMap, SiteMemory

Pairs = List[Tuple[Ints, Ints]]


class Cells:
    """Struck cells of a site: (code, bit) of each copy of the codes, (memory word, bit) of check
    bits, and where events begin in each block, with their numbers if one may begin twice at one."""

    def __init__(self) -> None:
        self.copies: Tuple[Pairs, Pairs, Pairs] = ([], [], [])
        self.check: Pairs = []
        self.events: Dict[str, Ints] = {}
        self.numbers: Dict[str, Ints] = {}


class Region(Protocol):
    """Units of one kind, numbered from 0."""

    @property
    def kind(self) -> Kind: ...

    def put(self, unit: Ints, cell: Ints, into: Cells) -> None:
        """Cell ``cell[i]`` of unit ``unit[i]`` is struck."""
        ...


@dataclass(frozen=True)
class Bits:
    """Bits ``positions`` of each code, in one copy, or in three of which two must be struck."""

    codes: int
    positions: Tuple[int, ...]
    copies: int = 1

    @property
    def kind(self) -> Kind:
        return Kind(self.codes * len(self.positions), self.copies, self.copies // 2 + 1)

    def put(self, unit: Ints, cell: Ints, into: Cells) -> None:
        code, slot = np.divmod(unit, len(self.positions))
        bit = np.array(self.positions, dtype=np.int64)[slot]
        for copy, pairs in enumerate(into.copies[: self.copies]):
            here = np.flatnonzero(cell == copy)
            pairs.append((code[here], bit[here]))


@dataclass(frozen=True)
class Coded:
    """Memory words of a code. Cells that hold nothing (padding, bits that are not exposed) count
    as cells of the word, and do nothing where they are struck."""

    packing: Packing
    rule: ProtectionRule
    exposed: int

    @property
    def kind(self) -> Kind:
        code = self.rule.code
        assert code is not None
        kept = self.rule.on_detected == "reload"  # what is detected is read right
        return Kind(self.packing.words, code.cells, (2 if code.corrects else 1) + kept)

    def put(self, unit: Ints, cell: Ints, into: Cells) -> None:
        data = np.flatnonzero(cell < self.packing.word_bits)
        code, slot = self.packing.find(unit[data], cell[data])
        bit = np.array(self.packing.positions, dtype=np.int64)[slot]
        real = (code >= 0) & (self.exposed >> bit & 1 != 0)
        into.copies[0].append((code[real], bit[real]))
        check = np.flatnonzero(cell >= self.packing.word_bits)
        into.check.append((unit[check], cell[check] - self.packing.word_bits))


@dataclass(frozen=True)
class Events:
    """Cells of a block that an event of several upsets may begin at."""

    block: Block
    model: Clusters

    @property
    def kind(self) -> Kind:
        return Kind(self.model.cells(self.block.array), 1, 1)

    def put(self, unit: Ints, cell: Ints, into: Cells) -> None:
        into.events[self.block.purpose] = unit


def regions(memory: SiteMemory) -> List[Region]:
    """The units of a site, in a fixed order."""
    model, rule = memory.model, memory.rule
    if isinstance(model, Clusters):
        return [Events(block, model) for block in memory.blocks]
    guarded = 0 if rule is None else selected_bits(rule.bits, memory.width)
    found: List[Region] = []
    plain = _positions(memory.exposed & ~guarded)
    if plain:
        found.append(Bits(memory.codes, plain))
    if rule is not None and rule.code is not None:
        found += [Coded(block.packing, rule, memory.exposed) for block in memory.blocks[:1]]
    elif rule is not None and memory.exposed & guarded:
        found.append(Bits(memory.codes, _positions(memory.exposed & guarded), len(COPIES)))
    return found


def _positions(mask: int) -> Tuple[int, ...]:
    return tuple(b for b in range(mask.bit_length()) if mask >> b & 1)


def factor(memory: SiteMemory) -> float:
    """The rate at which a unit's cells are struck, as a multiple of the BER."""
    model = memory.model
    return model.event_rate(1.0) if isinstance(model, Clusters) else model.factor


def read(memory: SiteMemory, cells: Cells, streams: Streams) -> ReadMap:
    """What is read of the site when these cells are struck."""
    model = memory.model
    if isinstance(model, Clusters):
        nowhere = np.zeros(0, dtype=np.int64)
        return memory.under_clusters(
            [
                block.upset(
                    *model.upset(
                        cells.events.get(block.purpose, nowhere),
                        streams,
                        block.purpose,
                        block.array,
                        cells.numbers.get(block.purpose),
                    )
                )
                for block in memory.blocks
            ]
        )
    copies = [
        model.marked(_gathered(pairs), memory.width, streams, purpose)
        for purpose, pairs in zip(COPIES, cells.copies)
    ]
    code = None if memory.rule is None else memory.rule.code
    check_bits = 0 if code is None else code.check_bits
    check: CellMap = model.marked(_gathered(cells.check), check_bits, streams, "check bits")
    return memory.under(copies, check)


def read_directed(memory: SiteMemory, up: Cells, down: Cells) -> ReadMap:
    """The same where it is known to which value each cell was struck: to 1, or to 0."""
    copies = [_directed(one, other) for one, other in zip(up.copies, down.copies)]
    return memory.under(copies, _directed(up.check, down.check))


def _directed(up: Pairs, down: Pairs) -> CellMap:
    one, other = _gathered(up), _gathered(down)
    return together(
        CellMap(one.index, one.mask, np.zeros_like(one.mask)),
        CellMap(other.index, np.zeros_like(other.mask), other.mask),
    )


def _gathered(pairs: Pairs) -> FaultMap:
    nothing = np.zeros(0, dtype=np.int64)
    words = np.concatenate([nothing, *(word for word, _ in pairs)])
    index, masks = gathered(words, np.concatenate([nothing, *(bit for _, bit in pairs)]))
    if popcount(masks) != words.size:
        raise InjectionError("self-check failed: a cell was struck twice")
    return FaultMap(index, masks, int(words.size))
