"""One draw of the BER fault model over a site: which words are hit, and which bits of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict, Sequence, Set

import numpy as np
import numpy.typing as npt

from ..errors import SiteError
from .counts import upset_count
from .dense_map import draw_dense
from .seeding import Stream

#: Up to this many upsets, Python integers are faster than array operations.
FEW = 20
#: From this share of flipped bits on, a bit map is faster than sorting positions.
DENSE_FROM = 0.02
#: From this number of positions on, sorting by digits is faster than by comparison.
RADIX_FROM = 4096
#: Positions are 32-bit fractions of 64-bit words.
BITS_LIMIT = 1 << 32
#: That of a float32 word; codes of quantizers have 16 bits at most.
MAX_WIDTH = 32
_ALL = (1 << 32) - 1


@dataclass(frozen=True)
class FaultMap:
    """The upsets of one site.

    ``index``: words hit, ascending and distinct; int64 of shape [words hit]. ``mask``: the
    bits of each that flip, bit 0 the least significant (31 is the sign of the
    int32); the same shape, never 0.
    """

    index: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int32]
    upsets: int

    def check_fits(self, site: str, words: int, width: int) -> None:
        """Raise SiteError if an upset lies outside of ``words`` words of ``width`` bits."""
        if self.index.size and not 0 <= self.index.min() <= self.index.max() < words:
            far = self.index[(self.index < 0) | (self.index >= words)][0]
            raise SiteError(f"site {site!r}: no word {far}; it has {words} (0 ... {words - 1})")
        every = int(np.bitwise_or.reduce(self.mask, initial=0)) & _ALL
        beyond = every >> width
        if beyond:
            bit = width + (beyond & -beyond).bit_length() - 1
            raise SiteError(
                f"site {site!r}: no bit {bit}; its words have {width} (0 ... {width - 1})"
            )

    def restricted_to(self, bits: int) -> FaultMap:
        """The upsets in the bit positions set in ``bits`` only."""
        mask = self.mask & as_mask(bits)
        hit = np.flatnonzero(mask)
        mask = mask[hit]
        return FaultMap(self.index[hit], mask, popcount(mask))


def empty_fault_map() -> FaultMap:
    return FaultMap(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32), 0)


def draw_fault_map(stream: Stream, words: int, width: int, ber: float) -> FaultMap:
    """Draw the fault map of a site of ``words`` words of ``width`` bits from ``stream``.

    Stream v1: the first 64-bit word gives the number of upsets n, the following ones bit
    positions, of which the first n distinct ones are the map; position q is bit q % width of
    word q // width. The sparse and the dense path find the same set. Hence for one stream the
    map at a lower BER is a subset of the map at a higher one.

    Raises SiteError for a site of 2**32 bits or more, or a width outside 1 to 32.
    """
    if not 1 <= width <= MAX_WIDTH:
        raise SiteError(f"width {width}: fault maps are drawn for widths 1 to {MAX_WIDTH}")
    bits = words * width
    if bits >= BITS_LIMIT:
        raise SiteError(f"{words} words of {width} bits: a site must be smaller than 2**32 bits")
    n = upset_count(stream.word(), bits, ber)
    if n == bits:
        full = np.full(words, as_mask((1 << width) - 1), dtype=np.int32)
        return FaultMap(np.arange(words, dtype=np.int64), full, n)
    if n <= FEW:
        return _draw_few(stream, words, width, n)
    if n >= DENSE_FROM * bits:
        return FaultMap(*draw_dense(stream, words, width, n), n)
    return _draw_sparse(stream, words, width, n)


def _draw_few(stream: Stream, words: int, width: int, n: int) -> FaultMap:
    bits = words * width
    positions: Set[int] = set()
    while len(positions) < n:
        positions.update(stream.few_positions(n - len(positions), bits))
    masks: Dict[int, int] = {}
    for position in sorted(positions):
        word, bit = divmod(position, width)
        masks[word] = masks.get(word, 0) | 1 << bit
    index = np.array(list(masks), dtype=np.int64)
    return FaultMap(index, as_masks(list(masks.values())), n)


def _draw_sparse(stream: Stream, words: int, width: int, n: int) -> FaultMap:
    bits, k = words * width, np.uint32(width)
    positions = _sorted(stream.positions(n, bits), bits)
    index = positions // k
    crowded = bool((index[1:] == index[:-1]).any())  # else all positions are distinct, too
    if crowded:
        positions = positions[_is_first(positions)]
        # Drawing exactly what is missing never overshoots the first n distinct positions.
        while positions.size < n:
            more = stream.positions(n - positions.size, bits)
            merged = np.concatenate((positions, more))
            merged.sort(kind="stable")  # takes the run that is sorted already as it is
            positions = merged[_is_first(merged)]
        index = positions // k
    mask = np.left_shift(np.int32(1), (positions - index * k).astype(np.int32))
    if crowded:
        # Words with more than one upset are few: gather their other bits one by one.
        first = _is_first(index)
        starts, others = np.flatnonzero(first), np.flatnonzero(~first)
        index, more_bits = index[starts], mask[others]
        mask = mask[starts]
        np.bitwise_or.at(mask, np.searchsorted(starts, others) - 1, more_bits)
    return FaultMap(index.astype(np.int64), mask, n)


def _sorted(values: npt.NDArray[np.uint32], limit: int) -> npt.NDArray[np.uint32]:
    """``values``, all below ``limit``, ascending."""
    # numpy.unique hashes from numpy 2.3 on, which is slower here than sorting.
    if values.size < RADIX_FROM:
        values.sort()
        return values
    # By digits of 8 and 16 bits, for which numpy has a radix sort.
    low = np.uint8 if limit <= 1 << 24 else np.uint16
    values = values[np.argsort(values.astype(low), kind="stable")]
    high = (values >> np.uint32(8 * np.dtype(low).itemsize)).astype(np.uint16)
    return values[np.argsort(high, kind="stable")]


def _is_first(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which of the sorted ``values`` differ from the one before."""
    first = np.ones(values.size, dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first


def distinct(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The distinct ``values``, ascending. As :func:`_sorted`, not by numpy.unique; "stable" merges
    what is sorted in parts."""
    values = np.sort(values, kind="stable")
    return values[_is_first(values)]


def as_mask(bits: int) -> np.int32:
    """The lower 32 of ``bits`` as a mask: bit 31 is its sign."""
    mask: np.int32 = np.int32((bits & _ALL ^ 1 << 31) - (1 << 31))
    return mask


def as_masks(bits: Sequence[int]) -> npt.NDArray[np.int32]:
    """As :func:`as_mask`, of numbers below 2**32."""
    return np.array(bits, dtype=np.int64).astype(np.int32)


def popcount(masks: npt.NDArray[Any]) -> int:
    """Number of set bits of all ``masks``, of which the lower 32 count."""
    bits = masks.astype(np.uint32)
    if hasattr(np, "bitwise_count"):
        return int(np.bitwise_count(bits).sum(dtype=np.int64))
    table = _popcounts()
    return int(table[bits & 0xFFFF].sum(dtype=np.int64) + table[bits >> 16].sum(dtype=np.int64))


@lru_cache(maxsize=1)
def _popcounts() -> npt.NDArray[np.uint8]:
    """Number of set bits of every 16-bit value; numpy has no popcount before 2.0."""
    table = np.zeros(1 << 16, dtype=np.uint8)
    for bit in range(16):
        table[1 << bit : 2 << bit] = table[: 1 << bit] + 1
    return table
