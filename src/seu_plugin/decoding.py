"""What a layer reads from protected memory: fault maps after correction and vote. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, NamedTuple, Optional, Tuple

import numpy as np
import numpy.typing as npt

from .cell_map import CellMap, Masks, aligned
from .ecc import Code, Words
from .fault_map import popcount
from .layout import Ints, Packing


class Seen(NamedTuple):
    """``flips``: bits of each code that are read wrong. ``upsets``: stored bits that changed,
    check bits and copies included; ``corrected``, ``detected``: memory words (of tmr: codes) that
    were put right by the code, and those that it gave up."""

    flips: Masks
    upsets: int
    corrected: int = 0
    detected: int = 0


@dataclass(frozen=True)
class CodeWords:
    """Memory words of one code with a struck cell. ``word``: ascending and distinct; int64 [n].
    ``up``, ``down`` (uint64) and ``check_up``, ``check_down`` (int32): as in a CellMap."""

    code: Code
    packing: Packing
    word: Ints
    up: Words
    down: Words
    check_up: Masks
    check_down: Masks

    @classmethod
    def of(cls, code: Code, packing: Packing, data: CellMap, check: CellMap) -> CodeWords:
        """From what happens to codes, and to the check bits of memory words."""
        found: List[Tuple[Ints, Ints, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]] = []
        for slot, position in enumerate(packing.positions):
            up, down = data.up >> position & 1, data.down >> position & 1
            hit = np.flatnonzero(up | down)
            word, bit = packing.place(data.index[hit], slot)
            found.append((word, bit, up[hit] != 0, down[hit] != 0))
        words, bits, ups, downs = (np.concatenate(parts) for parts in zip(*found))
        every = np.unique(np.concatenate((words, check.index)))
        place = np.searchsorted(every, words)
        single = np.left_shift(np.uint64(1), bits.astype(np.uint64))
        up64, down64 = np.zeros(every.size, np.uint64), np.zeros(every.size, np.uint64)
        np.bitwise_or.at(up64, place, np.where(ups, single, np.uint64(0)))
        np.bitwise_or.at(down64, place, np.where(downs, single, np.uint64(0)))
        return cls(code, packing, every, up64, down64, *aligned(every, check))

    def codes(self) -> Ints:
        """All codes that have a bit in one of the words; distinct, ascending."""
        found = [self.packing.find(self.word, self._bit(b))[0] for b in range(self._used_bits)]
        codes = np.unique(np.concatenate(found))
        return codes[codes >= 0]

    def wrong(
        self, index: Ints, stored: Optional[Masks], on_detected: str
    ) -> Tuple[Masks, npt.NDArray[np.bool_], Seen]:
        """Of the codes ``index``: the bits read wrong and, with on_detected ``zero``, whether the
        code reads as weight 0. ``stored`` may be None where bits flip whatever they hold."""
        up, down, check_up, check_down = self.up, self.down, self.check_up, self.check_down
        if stored is not None:
            data = self._data(index, stored)
            check = self.code.checks(data)
            up = down = (~data & up) | (data & down)
            check_up = check_down = (~check & check_up) | (check & check_down)
        decoded = self.code.decode(up, check_up)
        left = decoded.data
        if on_detected != "keep":
            left = np.where(decoded.detected, np.uint64(0), left)
        flips = np.zeros(index.size, dtype=np.int32)
        zeroed = np.zeros(index.size, dtype=np.bool_)
        gone = decoded.detected if on_detected == "zero" else np.zeros(left.size, np.bool_)
        positions = np.array(self.packing.positions, dtype=np.int64)
        for b in range(self._used_bits):
            rows = np.flatnonzero((left >> np.uint64(b) & np.uint64(1)).astype(np.bool_) | gone)
            code, slot = self.packing.find(self.word[rows], self._bit(b, rows.size))
            real = code >= 0
            place = np.searchsorted(index, code[real])
            zero = gone[rows][real]
            zeroed[place[zero]] = True
            bit = np.left_shift(1, positions[slot[real][~zero]]).astype(np.int32)
            np.bitwise_or.at(flips, place[~zero], bit)
        upsets = _popcount64(up) + popcount(check_up)
        right = decoded.corrected & (left == 0)
        seen = Seen(flips, upsets, int(right.sum()), int(decoded.detected.sum()))
        return flips, zeroed, seen

    @property
    def _used_bits(self) -> int:
        used = self.packing
        return used.codes_per_word * len(used.positions) if used.aligned else used.word_bits

    def _bit(self, bit: int, n: int = -1) -> Ints:
        return np.full(self.word.size if n < 0 else n, bit, dtype=np.int64)

    def _data(self, index: Ints, stored: Masks) -> Words:
        """The data bits of the words; ``index`` holds all their codes."""
        data = np.zeros(self.word.size, dtype=np.uint64)
        positions = np.array(self.packing.positions, dtype=np.int64)
        for b in range(self._used_bits):
            code, slot = self.packing.find(self.word, self._bit(b))
            real = np.flatnonzero(code >= 0)
            held = stored[np.searchsorted(index, code[real])] >> positions[slot[real]] & 1
            data[real] |= held.astype(np.uint64) << np.uint64(b)
        return data


@dataclass(frozen=True)
class ProtectedMap:
    """What is read of a protected site.

    ``plain``: what happens to bits outside the protection. Then either ``words`` of a code, or
    the three ``copies`` of a vote. ``zero``: the stored word that reads as weight 0.
    """

    plain: CellMap
    on_detected: str
    zero: int
    words: Optional[CodeWords] = None
    copies: Tuple[CellMap, ...] = ()
    index: Ints = field(init=False)

    def __post_init__(self) -> None:
        parts = [self.plain.index, *(copy.index for copy in self.copies)]
        if self.words is not None:
            parts.append(self.words.codes())
        object.__setattr__(self, "index", np.unique(np.concatenate(parts)))

    @property
    def independent(self) -> bool:
        """Whether what is read wrong does not depend on what is stored."""
        if not all(one.independent for one in (self.plain, *self.copies)):
            return False
        w = self.words
        if w is None:
            return True
        same = bool((w.up == w.down).all() and (w.check_up == w.check_down).all())
        return same and self.on_detected != "zero"

    def read(self, stored: Optional[Masks]) -> Seen:
        """For the stored bits of the words ``index``; None will do where :attr:`independent`."""
        plain = self._flips(self.plain, stored)
        upsets = popcount(plain)
        if self.words is not None:
            flips, zeroed, seen = self.words.wrong(self.index, stored, self.on_detected)
            flips = flips | plain
            if zeroed.any():
                assert stored is not None
                flips = np.where(zeroed, stored ^ np.int32(self.zero), flips)
            return seen._replace(flips=flips, upsets=upsets + seen.upsets)
        a, b, c = (self._flips(copy, stored) for copy in self.copies)
        voted = (a & b) | (a & c) | (b & c)
        upsets += sum(popcount(copy) for copy in (a, b, c))
        right = ((a | b | c) != 0) & (voted == 0)
        return Seen(plain | voted, upsets, int(right.sum()))

    def _flips(self, one: CellMap, stored: Optional[Masks]) -> Masks:
        up, down = aligned(self.index, one)
        if stored is None:
            return up
        flips: Masks = (~stored & up) | (stored & down)
        return flips


def _popcount64(words: Words) -> int:
    return sum(
        popcount((words >> np.uint64(s)).astype(np.int64) & 0xFFFF) for s in range(0, 64, 16)
    )
