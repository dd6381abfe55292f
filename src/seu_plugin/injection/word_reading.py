"""What faulted words of IEEE 754 read as: their bits, upset. Of plain float weights."""

from __future__ import annotations

import weakref
from typing import Callable, Optional, Union

import torch

from ..faults.cell_map import CellMap
from ..faults.decoding import ProtectedMap
from ..faults.fault_map import FaultMap
from ..memory.codecs import Codec
from ..quantizers.grid import Grid
from .placement import PlacedMap
from .reading import Reader, bits_of

_WORDS = {4: torch.int32, 2: torch.int16}


class WordReader(Reader):
    """Reads the hit words of a float weight. ``strange`` is told, once for each map, how many of
    them are read as NaN or Inf: int64 of shape []."""

    def __init__(self, site: object, strange: Callable[[torch.Tensor], None]) -> None:
        super().__init__(site)  # type: ignore[arg-type]
        self._strange = strange
        self._told: Optional[weakref.ref[PlacedMap]] = None

    def faulted(self, clean: torch.Tensor, placed: PlacedMap, grid: Grid) -> torch.Tensor:
        """What the words of ``clean`` that ``placed`` holds read as; float32, float16 or bfloat16,
        as ``clean``."""
        words = stored_words(placed.read(clean))
        if placed.effect is not None:
            flips = placed.wrong_on_device(words.to(placed.codes_on, torch.int32))
        elif placed.flips is not None:
            flips = placed.flips
        else:
            flips = torch.from_numpy(placed.mask)
        read = (words ^ flips.to(words.device, words.dtype)).view(clean.dtype)
        if self._told is None or self._told() is not placed:
            self._told = weakref.ref(placed)
            self._strange((~torch.isfinite(read)).sum())
        return read

    def wrong_bits(
        self,
        effect: Union[CellMap, ProtectedMap],
        clean: torch.Tensor,
        grid: Grid,
        codec: Codec,
        width: int,
    ) -> FaultMap:
        placed = PlacedMap(effect, codec, width, clean.device)
        words = stored_words(placed.read(clean)).to(torch.int32)
        return bits_of(placed, words)


def stored_words(values: torch.Tensor) -> torch.Tensor:
    """The bits of ``values``, as integers of the same size."""
    return values.view(_WORDS[values.element_size()])
