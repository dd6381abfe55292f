"""What a layer reads from protected memory: fault maps after correction and vote. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..memory.ecc import Code, Decoded, Words
from ..memory.layout import Ints, Packing
from .cell_map import CellMap, Masks, aligned, gathered, together
from .fault_map import distinct, popcount


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
        every = distinct(np.concatenate((words, check.index)))
        place = np.searchsorted(every, words)
        up64 = _packed(place[ups], bits[ups], every.size)
        same = data.independent
        down64 = up64 if same else _packed(place[downs], bits[downs], every.size)
        return cls(code, packing, every, up64, down64, *aligned(every, check))

    def codes(self) -> Ints:
        """All codes that have a bit in one of the words; distinct, ascending."""
        found = [self.packing.find(self.word, self._bit(b))[0] for b in range(self._used_bits)]
        codes = distinct(np.concatenate(found))
        return codes[codes >= 0]

    def decode(self, index: Ints, stored: Optional[Masks]) -> Tuple[Decoded, int]:
        """What a decoder makes of the words, and the upsets that they had. ``stored``, of the codes
        ``index``, may be None where bits flip whatever they hold."""
        up, check_up = self.up, self.check_up
        if stored is not None:
            data = self._data(index, stored)
            check = self.code.checks(data)
            up = (~data & self.up) | (data & self.down)
            check_up = (~check & self.check_up) | (check & self.check_down)
        return self.code.decode(up, check_up), _popcount64(up) + popcount(check_up)

    def bits_of(self, masks: Words) -> Tuple[Ints, Ints]:
        """Code and position of each set bit of ``masks``, one for each of the words."""
        hit = np.flatnonzero(masks)
        masks, words = masks[hit], self.word[hit]
        positions = np.array(self.packing.positions, dtype=np.int64)
        codes: List[Ints] = [np.zeros(0, dtype=np.int64)]
        slots: List[Ints] = [np.zeros(0, dtype=np.int64)]
        for b in range(self._used_bits):
            rows = np.flatnonzero(masks >> np.uint64(b) & np.uint64(1))
            code, slot = self.packing.find(words[rows], np.full(rows.size, b, dtype=np.int64))
            codes.append(code[code >= 0])
            slots.append(slot[code >= 0])
        return np.concatenate(codes), positions[np.concatenate(slots)]

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

    @cached_property
    def index(self) -> Ints:
        """The codes that what is read depends on; distinct, ascending."""
        parts = [self.plain.index, *(copy.index for copy in self.copies)]
        if self.words is not None:
            parts.append(self.words.codes())
        return distinct(np.concatenate(parts))

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

    def always(self) -> Tuple[CellMap, Seen]:
        """What is read wrong where that is :attr:`independent` of what is stored."""
        plain = self.plain
        if self.words is None:
            wrong, hit = _voted(self.copies)
            upsets = sum(popcount(copy.up) for copy in self.copies)
            corrected, detected = hit - wrong.index.size, 0
        else:
            decoded, upsets = self.words.decode(plain.index, None)
            left = self._left(decoded)
            index, masks = gathered(*self.words.bits_of(left))
            wrong = CellMap(index, masks, masks)
            corrected, detected = _counts(decoded, left)
        whole = together(plain, wrong)
        return whole, Seen(whole.up, upsets + popcount(plain.up), corrected, detected)

    def read(self, stored: Masks) -> Seen:
        """For the stored bits of the words ``index``."""
        plain = self._flips(self.plain, stored)
        upsets = popcount(plain)
        if self.words is not None:
            decoded, more = self.words.decode(self.index, stored)
            left = self._left(decoded)
            code, position = self.words.bits_of(left)
            flips = plain.copy()
            bit = np.left_shift(1, position).astype(np.int32)
            np.bitwise_or.at(flips, np.searchsorted(self.index, code), bit)
            if self.on_detected == "zero":
                every = np.where(decoded.detected, ~np.uint64(0), np.uint64(0))
                gone = np.searchsorted(self.index, self.words.bits_of(every)[0])
                flips[gone] = stored[gone] ^ np.int32(self.zero)
            return Seen(flips, upsets + more, *_counts(decoded, left))
        a, b, c = (self._flips(copy, stored) for copy in self.copies)
        voted = (a & b) | (a & c) | (b & c)
        upsets += sum(popcount(copy) for copy in (a, b, c))
        right = ((a | b | c) != 0) & (voted == 0)
        return Seen(plain | voted, upsets, int(right.sum()))

    def _left(self, decoded: Decoded) -> Words:
        """Upsets left in data bits, but for those of words read as zero."""
        if self.on_detected == "keep":
            return decoded.data
        return np.where(decoded.detected, np.uint64(0), decoded.data)

    def _flips(self, one: CellMap, stored: Masks) -> Masks:
        up, down = aligned(self.index, one)
        flips: Masks = (~stored & up) | (stored & down)
        return flips


def _counts(decoded: Decoded, left: Words) -> Tuple[int, int]:
    """Words that were put right, and words given up."""
    return int((decoded.corrected & (left == 0)).sum()), int(decoded.detected.sum())


def _voted(copies: Sequence[CellMap]) -> Tuple[CellMap, int]:
    """Bits that flip in two of three copies, and the number of codes that any copy has hit."""
    a, b, c = copies
    pairs = [_both(one, other) for one, other in ((a, b), (a, c), (b, c))]
    in_all = np.intersect1d(pairs[0][1], c.index, assume_unique=True).size
    hit = sum(copy.index.size for copy in copies) - sum(p[1].size for p in pairs) + in_all
    return together(*(pair[0] for pair in pairs)), hit


def _both(one: CellMap, other: CellMap) -> Tuple[CellMap, Ints]:
    """Bits that flip in both, and the codes that both hit."""
    common, mine, theirs = np.intersect1d(
        one.index, other.index, assume_unique=True, return_indices=True
    )
    masks = one.up[mine] & other.up[theirs]
    hit = np.flatnonzero(masks)
    return CellMap(common[hit], masks[hit], masks[hit]), common


def _packed(place: Ints, bits: Ints, words: int) -> Words:
    """Words with the given bits set, each of which is given once; uint64 of shape [words]."""
    packed = np.zeros(words, dtype=np.uint64)
    for half in (0, 32):  # sums of float64 are exact up to 2**53
        here = (bits >= half) & (bits < half + 32)
        sums = np.bincount(place[here], weights=2.0 ** (bits[here] - half), minlength=words)
        packed |= sums.astype(np.uint64) << np.uint64(half)
    return packed


def _popcount64(words: Words) -> int:
    return sum(
        popcount((words >> np.uint64(s)).astype(np.int64) & 0xFFFF) for s in range(0, 64, 16)
    )
