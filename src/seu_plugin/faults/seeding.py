"""Where randomness comes from: stream v1, one Philox4x64-10 stream for each fault map.

Global generators (torch, numpy, random) are never read or seeded.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import List

import numpy as np
import numpy.typing as npt

SEED_LIMIT = 1 << 64
_WORD = 64


def site_key(name: str) -> int:
    """64-bit BLAKE2b hash of a site's name: its place among the streams of a seed."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def fresh_seed() -> int:
    """A seed from the operating system, in [0, 2**63)."""
    return secrets.randbits(63)


class Stream:
    """The raw 64-bit words of one fault map, in order.

    Philox4x64-10 (Salmon et al., SC 2011, as numpy's raw bit generator) with the 128-bit key
    (seed, hash of the site name); the upper two of the four 64-bit counter words are (trial,
    exposure draw), so that streams never overlap. All arguments are below 2**64.
    """

    def __init__(self, seed: int, site: str, trial: int = 0, exposure_draw: int = 0) -> None:
        self._bits = np.random.Philox(key=seed | site_key(site) << _WORD)
        self._start = self._bits.state
        self.restart(trial, exposure_draw)

    def restart(self, trial: int, exposure_draw: int = 0) -> Stream:
        """Go to the start of another fault map of the same seed and site; ten times faster
        than a new stream."""
        counter = self._start["state"]["counter"]
        counter[2], counter[3] = trial, exposure_draw
        self._bits.state = self._start  # copied by numpy: the words start behind the counter
        return self

    def word(self) -> int:
        return int(self._bits.random_raw())

    def words(self, n: int) -> npt.NDArray[np.uint64]:
        """The next ``n`` words; uint64 of shape [n]."""
        return np.asarray(self._bits.random_raw(n), dtype=np.uint64)

    def few_positions(self, n: int, bits: int) -> List[int]:
        """As :meth:`positions`, faster for a handful."""
        return [word * bits >> _WORD for word in self._bits.random_raw(n).tolist()]

    def many_positions(self, n: int, bits: int) -> npt.NDArray[np.int64]:
        """As :meth:`positions`, for any ``bits`` below 2**63; int64 of shape [n]."""
        if bits < 1 << 32:
            return self.positions(n, bits).astype(np.int64)
        return np.array(self.few_positions(n, bits), dtype=np.int64)

    def positions(self, n: int, bits: int) -> npt.NDArray[np.uint32]:
        """The next ``n`` words as positions in [0, bits): upper half of word * bits.

        uint32 of shape [n]. Needs bits < 2**32: the 128-bit product is then had from two
        64-bit ones. A position's probability is off by at most 2**-32 of itself.
        """
        upper = self.words(n)
        limit, half = np.uint64(bits), np.uint64(32)
        lower = upper & np.uint64(0xFFFFFFFF)
        lower *= limit
        lower >>= half
        upper >>= half
        upper *= limit
        upper += lower
        upper >>= half
        return upper.astype(np.uint32)


class Streams:
    """The streams of one fault map: the site's own, and one for each further purpose."""

    def __init__(self, seed: int, site: str, trial: int = 0, exposure_draw: int = 0) -> None:
        self._seed, self._site = seed, site
        self._place = (trial, exposure_draw)

    def of(self, purpose: str = "") -> Stream:
        """A stream at its start; ``purpose`` ("check bits", say) tells it from the site's own."""
        name = f"{purpose} of {self._site}" if purpose else self._site
        return Stream(self._seed, name, *self._place)


def mixed(key: int, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A random 64-bit word for each of ``numbers``: outputs of SplitMix64 with seed ``key``.

    What a cell or an event is given does not depend on which others there are. (Steele, Lea,
    Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.) uint64 of shape [n].
    """
    z = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)
