"""What faulted words read as: from weight to code, upset, and back to weight."""

from __future__ import annotations

from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InjectionError
from ..faults.cell_map import CellMap
from ..faults.decoding import ProtectedMap
from ..faults.fault_map import FaultMap, popcount
from ..memory.codecs import Codec
from ..quantizers.sites import Site
from .placement import PlacedMap

#: How far a weight over its step size may be from an integer, in float32 and float64.
TOLERANCE = 0.01
#: Too coarse to allow for a tolerance: a code must give back the very weight.
HALF = (torch.float16, torch.bfloat16)
_BLOCK = 1 << 14  # words that a cache holds, with all that is computed from them


class Reader:
    """Reads the hit words of a site, and checks that they are what it takes them for."""

    def __init__(self, site: Site, no_numbers: bool = False) -> None:
        self.site = site
        #: Whether words may be NaN or Inf, or lack a step size: they hold no code, and stay.
        self._no_numbers = no_numbers
        self._errors: Any = {"all": "ignore"} if no_numbers else {}
        self._unfit: Optional[torch.Tensor] = None

    def faulted(self, clean: torch.Tensor, placed: PlacedMap, scale: torch.Tensor) -> torch.Tensor:
        """What the words of ``clean`` that ``placed`` holds read as; dtype of ``clean``.

        Raises InjectionError if they are no codes of its width times ``scale``. On a GPU that
        is remembered, for :meth:`check`, since asking would wait for the device.
        """
        stored, flips = placed.read(clean), placed.flips
        scale = placed.step_sizes(clean, scale)
        if placed.effect is not None and not (placed.on_host and clean.dtype not in HALF):
            on = placed.codes_on
            return self._by_torch(stored.to(on), scale.to(on), None, placed).to(clean.device)
        if flips is None:
            if clean.dtype not in HALF:
                with np.errstate(**self._errors):
                    words = self._by_numpy(stored.cpu().numpy(), scale.cpu().numpy(), placed)
                return torch.from_numpy(words).to(clean.device)
            flips = torch.from_numpy(placed.codec.flips(placed.mask, placed.width))
        codes = self._by_torch(stored.to(flips.device), scale.to(flips.device), flips, placed)
        return placed.combine(stored, codes.to(clean.device))

    def check(self) -> None:
        """Raise the InjectionError of an earlier :meth:`faulted` on a GPU; waits for it."""
        unfit, self._unfit = self._unfit, None
        if unfit is not None and bool(unfit):
            raise self._error(*self._noted)

    def _by_numpy(
        self, words: npt.NDArray[Any], steps: npt.NDArray[Any], placed: PlacedMap
    ) -> npt.NDArray[Any]:
        # numpy starts faster than torch, and blocks stay in the cache.
        codec, width, (lowest, highest) = placed.codec, placed.width, placed.grid
        values = np.empty_like(words)
        size = _BLOCK if placed.effect is None else max(words.size, 1)
        for start in range(0, words.size, size):
            block = slice(start, start + size)
            step = steps if steps.size == 1 else steps[block]
            ratio = words[block] / step
            if self._no_numbers:
                strange = ~(np.isfinite(words[block]) & np.isfinite(ratio))
                ratio[strange] = 0.0
            code = np.rint(ratio)
            np.maximum(code, lowest, out=code)
            np.minimum(code, highest, out=code)
            ratio -= code
            if not np.abs(ratio, out=ratio).max() <= TOLERANCE:  # not a number, either
                raise self._error(placed, words.dtype)
            codes = code.astype(np.int32)
            if placed.effect is None:
                wrong = placed.mask[block]
            else:
                wrong = placed.wrong(codec.encode(codes, width))
            upset = codec.upset(codes, codec.flips(wrong, width), width)
            values[block] = upset.astype(code.dtype) * step
            if placed.effect is not None:
                np.copyto(values, words, where=wrong == 0)
            if self._no_numbers:
                np.copyto(values[block], words[block], where=strange)
        return values

    def _by_torch(
        self,
        words: torch.Tensor,
        scale: torch.Tensor,
        flips: Optional[torch.Tensor],
        placed: PlacedMap,
    ) -> torch.Tensor:
        ratio = words.float() / scale if words.dtype in HALF else words / scale
        usual: Optional[torch.Tensor] = None
        if self._no_numbers:
            usual = torch.isfinite(words) & torch.isfinite(ratio)
            ratio = torch.where(usual, ratio, torch.zeros_like(ratio))
        code = ratio.round().clamp_(*placed.grid)
        if words.dtype in HALF:
            differs = (code * scale).to(words.dtype) != words
            for other in (code - 1, code + 1):  # too coarse to tell neighbouring codes apart
                inside = (other >= placed.grid[0]) & (other <= placed.grid[1])
                differs |= inside & ((other * scale).to(words.dtype) == words)
            off = (differs if usual is None else differs & usual).any()
        else:
            off = ratio.sub_(code).abs_().max()
        self._note(off, placed, words.dtype)
        codec, width, codes = placed.codec, placed.width, code.to(torch.int32)
        if flips is None:
            wrong = placed.wrong_on_device(codec.encode(codes, width))
            new: torch.Tensor = codec.upset(codes, codec.flips(wrong, width), width)
            values = new.to(code.dtype).mul_(scale).to(words.dtype)
            values = torch.where(wrong != 0, values, words)
        else:
            values = codec.upset(codes, flips, width).to(code.dtype).mul_(scale).to(words.dtype)
        return values if usual is None else torch.where(usual, values, words)

    def _note(self, off: torch.Tensor, placed: PlacedMap, dtype: torch.dtype) -> None:
        limit = 0.0 if dtype in HALF else TOLERANCE
        if off.device.type != "cuda":
            if not float(off) <= limit:
                raise self._error(placed, dtype)
        else:
            self._noted = placed, dtype
            unfit = ~(off <= limit)
            self._unfit = unfit if self._unfit is None else self._unfit | unfit

    def _error(self, placed: PlacedMap, dtype: Any) -> InjectionError:
        exactly = " exactly," if dtype in HALF else ","
        return InjectionError(
            f"site {self.site.name!r}: its {dtype} words are not {placed.codec.name} codes of "
            f"{placed.width} bits times the step size{exactly} so they are no quantized memory"
        )


def wrong_bits(
    effect: Union[CellMap, ProtectedMap],
    clean: torch.Tensor,
    scale: torch.Tensor,
    codec: Codec,
    width: int,
) -> FaultMap:
    """The bits of a quantized weight that are read wrong where that depends on what is stored."""
    placed = PlacedMap(effect, codec, width, clean.device)
    words = placed.read(clean).double() / placed.step_sizes(clean, scale).double()
    codes = words.cpu().numpy().round().clip(*placed.grid).astype(np.int32)
    flips = placed.wrong(np.asarray(codec.encode(codes, width)))
    hit = np.flatnonzero(flips)
    index = np.asarray(placed.index.cpu().numpy()[hit], dtype=np.int64)
    return FaultMap(index, flips[hit], popcount(flips[hit]))
