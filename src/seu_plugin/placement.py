"""A fault map where the weights are: which words it changes, and to what."""

from __future__ import annotations

from typing import Any, Optional

import numpy.typing as npt
import torch

from .codecs import Codec
from .errors import InjectionError
from .fault_map import FaultMap
from .sites import Site

#: How far a weight over its step size may be from an integer, in float32 and float64.
TOLERANCE = 0.01
#: Too coarse to allow for a tolerance: a code must give back the very weight.
HALF = (torch.float16, torch.bfloat16)


def shipped(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """``array`` on ``device``; to a GPU from pinned memory, so that nobody waits."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class PlacedMap:
    """The words of a site that one fault map hits, on the weight's device.

    ``flips``: what changes the code of each, as ``codec`` wants it; on ``codes_on``, where
    codes are flipped, or by default where the weight is.
    """

    def __init__(
        self,
        fault_map: FaultMap,
        codec: Codec,
        width: int,
        device: torch.device,
        codes_on: Optional[torch.device] = None,
    ) -> None:
        self.codec, self.width = codec, width
        self.index = shipped(fault_map.index, device)
        self.flips = shipped(codec.flips(fault_map.mask, width), codes_on or device)

    def read(self, weight: torch.Tensor) -> torch.Tensor:
        """The hit words of ``weight``, as a tensor of their own."""
        return weight.take(self.index)

    def write(self, weight: torch.Tensor, values: torch.Tensor) -> None:
        # By logical position, whatever the memory format.
        if not torch.are_deterministic_algorithms_enabled():
            weight.put_(self.index, values)
            return
        flat = weight.reshape(-1)  # a copy if the weight is not contiguous
        flat.index_copy_(0, self.index, values)
        if flat.data_ptr() != weight.data_ptr():
            weight.copy_(flat.view_as(weight))

    def step_sizes(self, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """The step size of each hit word: one element if all have the same."""
        if scale.numel() == 1:
            return scale.reshape(1)
        per_channel = weight.numel() // scale.numel()
        return scale.reshape(-1)[torch.div(self.index, per_channel, rounding_mode="floor")]

    def combine(self, clean: torch.Tensor, faulted: torch.Tensor) -> torch.Tensor:
        return faulted


class PlacedMasks(PlacedMap):
    """A fault map as one mask for each word, as a GPU draws it; int32 of shape [words]."""

    def __init__(self, masks: torch.Tensor, codec: Codec, width: int) -> None:
        self.codec, self.width = codec, width
        self.flips = codec.flips(masks, width)

    def read(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.flatten().clone()

    def write(self, weight: torch.Tensor, values: torch.Tensor) -> None:
        weight.copy_(values.view_as(weight))

    def step_sizes(self, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        if scale.numel() == 1:
            return scale.reshape(1)
        per_channel = weight.numel() // scale.numel()
        return scale.reshape(-1, 1).expand(-1, per_channel).reshape(-1)

    def combine(self, clean: torch.Tensor, faulted: torch.Tensor) -> torch.Tensor:
        return torch.where(self.flips != 0, faulted, clean)  # not hit: not touched


class Reader:
    """Reads what faulted words hold: weight to code, upset, code to weight."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._unfit: Optional[torch.Tensor] = None

    def faulted(self, clean: torch.Tensor, placed: PlacedMap, scale: torch.Tensor) -> torch.Tensor:
        """What the words of ``clean`` that ``placed`` holds read as; dtype of ``clean``.

        Raises InjectionError if they are no codes of its width times ``scale``. On a GPU that
        is remembered, for :meth:`check`, since asking would wait for the device.
        """
        codec, width, flips = placed.codec, placed.width, placed.flips
        stored = placed.read(clean).to(flips.device)
        scale = placed.step_sizes(clean, scale).to(flips.device)
        ratio = stored.float() / scale if stored.dtype in HALF else stored / scale
        code = ratio.round().clamp_(codec.lowest(width), codec.highest(width))
        if stored.dtype in HALF:
            off = ((code * scale).to(stored.dtype) != stored).any()
        else:
            off = ratio.sub_(code).abs_().max()
        self._note(off, placed, stored.dtype)
        upset = codec.upset(code.to(torch.int32), flips, width)
        values = upset.to(code.dtype).mul_(scale).to(stored.dtype)
        return placed.combine(stored, values).to(clean.device)

    def check(self) -> None:
        """Raise the InjectionError of an earlier :meth:`faulted` on a GPU; waits for it."""
        unfit, self._unfit = self._unfit, None
        if unfit is not None and bool(unfit):
            raise self._error(*self._noted)

    def _note(self, off: torch.Tensor, placed: PlacedMap, dtype: torch.dtype) -> None:
        limit = 0.0 if dtype in HALF else TOLERANCE
        if off.device.type != "cuda":
            if not float(off) <= limit:  # not a number, either
                raise self._error(placed, dtype)
        else:
            self._noted = placed, dtype
            unfit = ~(off <= limit)
            self._unfit = unfit if self._unfit is None else self._unfit | unfit

    def _error(self, placed: PlacedMap, dtype: torch.dtype) -> InjectionError:
        exactly = " exactly," if dtype in HALF else ","
        return InjectionError(
            f"site {self.site.name!r}: its {dtype} weights are not {placed.codec.name} codes of "
            f"{placed.width} bits times the step size{exactly} so they are no quantized memory"
        )
