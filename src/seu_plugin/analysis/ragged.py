"""Columns whose entries are of different lengths. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any, Collection, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Integers in one array behind each other, those of entry i from ``starts[i]`` to
    ``starts[i + 1]``; ``known[i]``: whether there is an entry."""

    values: Integers
    starts: Integers
    known: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, entries: Sequence[Optional[Collection[int]]]) -> Ragged:
        """Raises OverflowError for integers beyond 64 bits."""
        known = np.array([entry is not None for entry in entries], dtype=np.bool_)
        lengths = [0 if entry is None else len(entry) for entry in entries]
        flat = list(chain.from_iterable(entry for entry in entries if entry))
        return cls(np.array(flat, dtype=np.int64), starts_of(lengths), known)

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        lengths = np.concatenate([part.lengths for part in parts])
        values = np.concatenate([part.values for part in parts])
        return cls(values, starts_of(lengths), np.concatenate([part.known for part in parts]))

    @property
    def lengths(self) -> Integers:
        return np.diff(self.starts)

    def __getitem__(self, i: int) -> Optional[List[int]]:
        if not self.known[i]:
            return None
        return [*map(int, self.values[self.starts[i] : self.starts[i + 1]])]

    def pairs(self, i: int) -> Optional[Tuple[Tuple[int, int], ...]]:
        """Entry i of an even number of integers, two and two."""
        flat = self[i]
        return None if flat is None else tuple(zip(flat[::2], flat[1::2]))

    def table(self, index: Integers) -> Integers:
        """Entries ``index``, all of one length, as rows."""
        length = int(self.lengths[index[0]]) if index.size else 0
        return np.asarray(self.values[self.starts[index][:, None] + np.arange(length)])

    def flat(self, index: Integers, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of ``values``, or other ones beside them, those of entries ``index``."""
        lengths = self.lengths[index]
        ends = np.cumsum(lengths)
        within = np.arange(ends[-1] if ends.size else 0) - np.repeat(ends - lengths, lengths)
        return np.asarray(values[np.repeat(self.starts[index], lengths) + within])


def starts_of(lengths: npt.ArrayLike) -> Integers:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
