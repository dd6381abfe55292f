"""What faulted words read as: from weight to code, upset, and back to weight."""

from __future__ import annotations

from typing import Any, Optional, Protocol, Union

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InjectionError
from ..faults.cell_map import CellMap
from ..faults.decoding import ProtectedMap
from ..faults.fault_map import FaultMap, popcount
from ..memory.codecs import Codec
from ..quantizers.grid import HALF, TOLERANCE, Grid
from .placement import PlacedMap

_BLOCK = 1 << 14  # words that a cache holds, with all that is computed from them


class Named(Protocol):
    """Whose words are read: a site, or the activations of one."""

    @property
    def name(self) -> str: ...


class Reader:
    """Reads the hit words of a site, and checks that they are what it takes them for."""

    def __init__(self, site: Named, no_numbers: bool = False) -> None:
        self.site = site
        #: Whether words may be NaN or Inf, or lack a step size: they hold no code, and stay.
        self._no_numbers = no_numbers
        self._errors: Any = {"all": "ignore"} if no_numbers else {}
        self._unfit: Optional[torch.Tensor] = None

    def faulted(self, clean: torch.Tensor, placed: PlacedMap, grid: Grid) -> torch.Tensor:
        """What the words of ``clean`` that ``placed`` holds read as; dtype of ``clean``.

        Raises InjectionError if they are no codes of its width on ``grid``. On a GPU that
        is remembered, for :meth:`check`, since asking would wait for the device.
        """
        grid = grid.map(lambda numbers: placed.of_words(clean, numbers))
        return self.words(placed.read(clean), placed, grid)

    def words(self, stored: torch.Tensor, placed: PlacedMap, grid: Grid) -> torch.Tensor:
        """As :meth:`faulted`, of the words that ``placed`` holds alone, on a grid of theirs."""
        flips, device = placed.flips, stored.device
        if placed.effect is not None and not (placed.on_host and stored.dtype not in HALF):
            on = placed.codes_on
            moved = grid.map(lambda numbers: numbers.to(on))
            return self._by_torch(stored.to(on), moved, None, placed).to(device)
        if flips is None:
            if stored.dtype not in HALF:
                with np.errstate(**self._errors):
                    words = self._by_numpy(stored.cpu().numpy(), grid, placed)
                return torch.from_numpy(words).to(device)
            flips = torch.from_numpy(placed.codec.flips(placed.mask, placed.width))
        on = flips.device
        moved = grid.map(lambda numbers: numbers.to(on))
        codes = self._by_torch(stored.to(on), moved, flips, placed)
        return placed.combine(stored, codes.to(device))

    def wrong_bits(
        self,
        effect: Union[CellMap, ProtectedMap],
        clean: torch.Tensor,
        grid: Grid,
        codec: Codec,
        width: int,
    ) -> FaultMap:
        """The bits of ``clean``, a weight, that are read wrong where that depends on what is
        stored."""
        placed = PlacedMap(effect, codec, width, clean.device)
        flips = placed.wrong(self._held(clean, placed, grid).cpu().numpy())
        hit = np.flatnonzero(flips)
        index = np.asarray(placed.index.cpu().numpy()[hit], dtype=np.int64)
        return FaultMap(index, flips[hit], popcount(flips[hit]))

    def _held(self, clean: torch.Tensor, placed: PlacedMap, grid: Grid) -> torch.Tensor:
        """What the words of ``clean`` that ``placed`` holds are in memory; int32."""
        wide = grid.map(lambda numbers: placed.of_words(clean, numbers).double())
        near = wide.nearest(wide.steps(placed.read(clean).double()), placed.grid)
        held: torch.Tensor = placed.codec.encode(near, placed.width)
        return held

    def check(self) -> None:
        """Raise the InjectionError of an earlier :meth:`faulted` on a GPU; waits for it."""
        unfit, self._unfit = self._unfit, None
        if unfit is not None and bool(unfit):
            raise self._error(*self._noted)

    def _by_numpy(self, words: npt.NDArray[Any], grid: Grid, placed: PlacedMap) -> npt.NDArray[Any]:
        # numpy starts faster than torch, and blocks stay in the cache.
        codec, width = placed.codec, placed.width
        lowest, highest = placed.grid
        steps = grid.scale.cpu().numpy()
        zeros = None if grid.zero_point is None else grid.zero_point.cpu().numpy()
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
            if zeros is not None:
                zero = (zeros if zeros.size == 1 else zeros[block]).astype(code.dtype)
                code += zero
            np.maximum(code, lowest, out=code)
            np.minimum(code, highest, out=code)
            ratio -= code if zeros is None else code - zero
            if not np.abs(ratio, out=ratio).max() <= TOLERANCE:  # not a number, either
                raise self._error(placed, words.dtype)
            codes = code.astype(np.int32)
            if placed.effect is None:
                wrong = placed.mask[block]
            else:
                wrong = placed.wrong(codec.encode(codes, width))
            upset = codec.upset(codes, codec.flips(wrong, width), width).astype(code.dtype)
            values[block] = (upset if zeros is None else upset - zero) * step
            if placed.effect is not None:
                np.copyto(values, words, where=wrong == 0)
            if self._no_numbers:
                np.copyto(values[block], words[block], where=strange)
        return values

    def _by_torch(
        self,
        words: torch.Tensor,
        grid: Grid,
        flips: Optional[torch.Tensor],
        placed: PlacedMap,
    ) -> torch.Tensor:
        ratio = grid.steps(words)
        usual: Optional[torch.Tensor] = None
        if self._no_numbers:
            usual = torch.isfinite(words) & torch.isfinite(ratio)
            ratio = torch.where(usual, ratio, torch.zeros_like(ratio))
        codes, (lowest, highest) = grid.nearest(ratio, placed.grid), placed.grid
        if words.dtype in HALF:
            differs = grid.values(codes, words) != words
            for other in (codes - 1, codes + 1):  # too coarse to tell neighbouring codes apart
                inside = (other >= lowest) & (other <= highest)
                differs |= inside & (grid.values(other, words) == words)
            off = (differs if usual is None else differs & usual).any()
        else:
            off = ratio.sub_(grid.from_zero(codes, ratio.dtype)).abs_().max()
        self._note(off, placed, words.dtype)
        codec, width = placed.codec, placed.width
        if flips is None:
            wrong = placed.wrong_on_device(codec.encode(codes, width))
            new: torch.Tensor = codec.upset(codes, codec.flips(wrong, width), width)
            values = torch.where(wrong != 0, grid.values(new, words), words)
        else:
            values = grid.values(codec.upset(codes, flips, width), words)
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
