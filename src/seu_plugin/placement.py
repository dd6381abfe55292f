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

    ``codes_on``: where codes are flipped; None: where the weight is.
    """

    def __init__(
        self, fault_map: FaultMap, device: torch.device, codes_on: Optional[torch.device] = None
    ) -> None:
        self.index = shipped(fault_map.index, device)
        self.mask = shipped(fault_map.mask, codes_on or device)

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

    def scale(self, scale: torch.Tensor, words_per_channel: int) -> torch.Tensor:
        """The step size: one element, or that of each hit word."""
        if scale.numel() == 1:
            return scale.reshape(1)
        channel = torch.div(self.index, words_per_channel, rounding_mode="floor")
        return scale.reshape(-1)[channel]

    def combine(self, clean: torch.Tensor, faulted: torch.Tensor) -> torch.Tensor:
        return faulted


class PlacedMasks(PlacedMap):
    """A fault map as one mask for each word, as a GPU draws it; int32 of shape [words]."""

    def __init__(self, masks: torch.Tensor) -> None:
        self.mask = masks

    def read(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.flatten().clone()

    def write(self, weight: torch.Tensor, values: torch.Tensor) -> None:
        weight.copy_(values.view_as(weight))

    def scale(self, scale: torch.Tensor, words_per_channel: int) -> torch.Tensor:
        per_channel = scale.reshape(-1)
        return (
            per_channel
            if scale.numel() == 1
            else per_channel.repeat_interleave(
                words_per_channel, output_size=scale.numel() * words_per_channel
            )
        )

    def combine(self, clean: torch.Tensor, faulted: torch.Tensor) -> torch.Tensor:
        return torch.where(self.mask != 0, faulted, clean)  # not hit: not touched


class Reader:
    """Reads what faulted words hold: weight to code, upset, code to weight."""

    def __init__(self, site: Site, codec: Codec) -> None:
        self.site = site
        self.codec = codec
        self._unfit: Optional[torch.Tensor] = None

    def faulted(
        self, clean: torch.Tensor, placed: PlacedMap, width: int, scale: torch.Tensor
    ) -> torch.Tensor:
        """What the words of ``clean`` that ``placed`` holds read as; dtype of ``clean``.

        Raises InjectionError if they are no codes of ``width`` bits times ``scale``. On a GPU
        that is remembered, for :meth:`check`, since asking would wait for the device.
        """
        hit = placed.read(clean)
        mask = placed.mask
        scale = placed.scale(scale, clean[0].numel()).to(mask.device)
        stored = hit.to(mask.device)
        ratio = stored.float() / scale if hit.dtype in HALF else stored / scale
        code = torch.round(ratio)
        fits = (code >= self.codec.lowest(width)) & (code <= self.codec.highest(width))
        if hit.dtype in HALF:
            fits &= (code * scale).to(hit.dtype) == stored
        else:
            fits &= (ratio - code).abs() <= TOLERANCE
        self._note(fits.all(), width, hit.dtype)
        upset = self.codec.encode(code.to(torch.int32), width) ^ mask
        values = (self.codec.decode(upset, width).to(code.dtype) * scale).to(stored.dtype)
        return placed.combine(stored, values).to(clean.device)

    def check(self) -> None:
        """Raise the InjectionError of an earlier :meth:`faulted` on a GPU; waits for it."""
        unfit, self._unfit = self._unfit, None
        if unfit is not None and bool(unfit):
            raise InjectionError(self._complaint)

    def _note(self, all_fit: torch.Tensor, width: int, dtype: torch.dtype) -> None:
        exactly = " exactly," if dtype in HALF else ","
        self._complaint = (
            f"site {self.site.name!r}: its {dtype} weights are not {self.codec.name} codes of "
            f"{width} bits times the step size{exactly} so they are no quantized memory"
        )
        if all_fit.device.type != "cuda":
            if not bool(all_fit):
                raise InjectionError(self._complaint)
        else:
            self._unfit = ~all_fit if self._unfit is None else self._unfit | ~all_fit
