"""What faulted words of IEEE 754 read as: their bits, upset. Of plain float weights."""

from __future__ import annotations

import weakref
from typing import Callable, Optional

import torch

from ..quantizers.grid import Grid
from .placement import PlacedMap
from .reading import Named, Reader

_WORDS = {4: torch.int32, 2: torch.int16}


class WordReader(Reader):
    """Reads the hit words of a float weight. ``strange`` is told, once for each map, how many of
    them are read as NaN or Inf: int64 of shape []."""

    def __init__(self, site: Named, strange: Callable[[torch.Tensor], None]) -> None:
        super().__init__(site)
        self._strange = strange
        self._told: Optional[weakref.ref[PlacedMap]] = None

    def words(self, stored: torch.Tensor, placed: PlacedMap, grid: Grid) -> torch.Tensor:
        """What ``stored``, the words that ``placed`` holds, read as; float32, float16 or bfloat16,
        as ``stored``."""
        words = stored_words(stored)
        if placed.effect is not None:
            flips = placed.wrong_on_device(_unsigned(words.to(placed.codes_on)))
        elif placed.flips is not None:
            flips = placed.flips
        else:
            flips = torch.from_numpy(placed.mask)
        read = (words ^ flips.to(words.device, words.dtype)).view(stored.dtype)
        if self._told is None or self._told() is not placed:
            self._told = weakref.ref(placed)
            self._strange((~torch.isfinite(read)).sum())
        return read

    def _held(self, clean: torch.Tensor, placed: PlacedMap, grid: Grid) -> torch.Tensor:
        return _unsigned(stored_words(placed.read(clean)))


def _unsigned(words: torch.Tensor) -> torch.Tensor:
    """As int32, without bits that a word of 16 does not have: a sign would fill them."""
    return words.to(torch.int32) & 0xFFFF if words.dtype is torch.int16 else words


def stored_words(values: torch.Tensor) -> torch.Tensor:
    """The bits of ``values``, as integers of the same size."""
    return values.view(_WORDS[values.element_size()])
