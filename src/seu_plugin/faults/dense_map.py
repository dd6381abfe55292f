"""The dense way to find the upsets of a fault map: set bits in a bit map until enough are set."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, List, Tuple

import numpy as np
import numpy.typing as npt

from .seeding import Stream

Bytes = npt.NDArray[np.uint8]
_BLOCK = 1 << 17  # larger ones leave the cache, smaller ones wait for the interpreter
#: As long as this share of the bits is missing, counting all costs less than drawing those.
_COUNT_TO = 64
_free: List[Bytes] = []  # zeros, kept: fresh pages cost more than the work


def draw_dense(
    stream: Stream, words: int, width: int, n: int
) -> Tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Index and mask, as in a FaultMap, of the first ``n`` distinct positions of ``stream``.

    Takes one byte of memory a bit, in a buffer that stays until :func:`free_buffers`.
    """
    # A power of two of bytes for each word: the word is then seen, and packed into its mask,
    # as one integer.
    lanes = 1 << (width - 1).bit_length()
    with _zeros(words * lanes) as flipped:
        _fill(stream, flipped, words * width, n, width, lanes)
        return _packed(flipped, lanes)


def dense_positions(stream: Stream, bits: int, n: int) -> npt.NDArray[np.int64]:
    """The first ``n`` (at most ``bits``) distinct positions of ``stream`` in [0, ``bits``),
    ascending; int64 of shape [n]. Needs ``bits`` < 2**32. Memory as of :func:`draw_dense`."""
    with _zeros(bits) as flipped:
        _fill(stream, flipped, bits, n)
        return np.flatnonzero(flipped)


def _fill(
    stream: Stream, flipped: Bytes, bits: int, n: int, width: int = 1, lanes: int = 1
) -> None:
    """Set the bytes, ``lanes`` for each word of ``width`` bits, of the first ``n`` distinct
    positions of ``stream`` in [0, ``bits``)."""
    missing = n
    while missing >= max(bits // _COUNT_TO, 1):
        for start in range(0, missing, _BLOCK):
            places = _places(stream, min(_BLOCK, missing - start), bits, width, lanes)
            flipped[places] = 1
        # Drawing exactly what is missing never overshoots the first n distinct positions.
        missing = n - int(np.count_nonzero(flipped.view(np.bool_)))
    # The last ones: most of what is drawn is set already, where nearly all are to be. Rounds of
    # what is missing would be thousands; so more is drawn, and what overshoots is left out: a
    # stream is of one map, and nobody reads on behind it.
    while missing:
        about = missing * bits // (bits - n + missing) + 16
        places = _places(stream, min(_BLOCK, about), bits, width, lanes)
        new = places[flipped[places] == 0]
        new = new[np.sort(np.unique(new, return_index=True)[1])][:missing]  # in the order drawn
        flipped[new] = 1
        missing -= new.size


def _places(stream: Stream, n: int, bits: int, width: int, lanes: int) -> npt.NDArray[np.int64]:
    """The bytes of the next ``n`` positions."""
    positions = stream.positions(n, bits)
    places = positions.astype(np.int64)
    if lanes != width:
        places += (positions // np.uint32(width)).astype(np.int64) * (lanes - width)
    return places


def free_buffers() -> None:
    _free.clear()


@contextmanager
def _zeros(size: int) -> Iterator[Bytes]:
    """``size`` zero bytes. Safe with threads; a buffer in an exception is dropped."""
    try:
        buffer = _free.pop()
    except IndexError:
        buffer = np.zeros(size, dtype=np.uint8)
    if buffer.size < size:
        buffer = np.zeros(size, dtype=np.uint8)
    yield buffer[:size]
    buffer[:size] = 0
    _free.append(buffer)


def _packed(flipped: Bytes, lanes: int) -> Tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Words hit, and their masks, of bits stored one a byte and ``lanes`` a word."""
    if lanes > 8:
        parts = _masks(flipped.view("<u8")).reshape(-1, lanes // 8)
        masks = parts[:, 0]
        for i in range(1, lanes // 8):
            masks = masks | parts[:, i] << np.int32(8 * i)
        index = np.flatnonzero(masks)
        return index, masks[index]
    together = flipped.view(f"<u{lanes}")
    # Into arrays made at once: pieces put together later would be written twice.
    hits = int(np.count_nonzero(together))
    index, masks = np.empty(hits, dtype=np.int64), np.empty(hits, dtype=np.int32)
    done = 0
    for start in range(0, together.size, _BLOCK // 2):
        block = together[start : start + _BLOCK // 2]
        hit = np.flatnonzero(block != 0)
        here = slice(done, done + hit.size)
        np.add(hit, start, out=index[here])
        masks[here] = _masks(block[hit])
        done += hit.size
    return index, masks


def _masks(together: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Pack the bytes of each integer, which are 0 or 1, to bits, the first to the lowest."""
    lanes, dtype = together.dtype.itemsize, together.dtype.type
    # Multiplied, byte i comes to lie at bit 8*(lanes-1)+i; no two products meet in one place.
    spread = sum(1 << (8 * (lanes - 1) - 7 * lane) for lane in range(lanes))
    packed = together * dtype(spread)
    packed >>= dtype(8 * (lanes - 1))
    masks: npt.NDArray[np.int32] = packed.astype(np.int32)
    return masks
