"""A fault map where the weights are: which words it hits, and how to get at them."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import numpy.typing as npt
import torch

from .codecs import Codec
from .fault_map import FaultMap


def shipped(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """``array`` on ``device``; to a GPU from pinned memory, so that nobody waits."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class PlacedMap:
    """The words of a site that one fault map hits, on the weight's device.

    ``mask``: the bits of each that flip. ``flips``: what changes their codes, as ``codec`` wants
    it, if codes are flipped on another device than the CPU; ``codes_on`` names that device, None
    is the weight's. ``grid``: the lowest and the highest code.
    """

    mask: npt.NDArray[np.int32]
    flips: Optional[torch.Tensor] = None

    def __init__(
        self,
        fault_map: FaultMap,
        codec: Codec,
        width: int,
        device: torch.device,
        codes_on: Optional[torch.device] = None,
    ) -> None:
        self.codec, self.width = codec, width
        self.grid = codec.lowest(width), codec.highest(width)
        self.index = shipped(fault_map.index, device)
        self.mask = fault_map.mask
        if (codes_on or device).type != "cpu":
            self.flips = shipped(codec.flips(self.mask, width), codes_on or device)

    def read(self, weight: torch.Tensor) -> torch.Tensor:
        """The hit words of ``weight``, as a tensor of their own."""
        if weight.is_contiguous():
            return weight.view(-1).index_select(0, self.index)  # half the time of take
        return weight.take(self.index)

    def write(self, weight: torch.Tensor, values: torch.Tensor) -> None:
        """Put ``values``, one for each hit word, into ``weight`` in place."""
        if weight.is_contiguous():
            flat = weight.detach().view(-1)
            if weight.device.type == "cpu" and weight.dtype is not torch.bfloat16:
                # Half the time of torch, which takes a thread for it that may be busy drawing.
                flat.numpy()[self.index.numpy()] = values.numpy()
            else:
                flat.index_copy_(0, self.index, values)
        elif not torch.are_deterministic_algorithms_enabled():
            weight.put_(self.index, values)  # by logical position, whatever the memory format
        else:  # put_ is refused then
            flat = weight.reshape(-1).index_copy(0, self.index, values)
            weight.copy_(flat.view_as(weight))

    def step_sizes(self, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """The step size of each hit word: one element if all have the same."""
        if scale.numel() == 1:
            return scale.reshape(1)
        per_channel = weight.numel() // scale.numel()
        return scale.reshape(-1)[torch.div(self.index, per_channel, rounding_mode="floor")]

    def combine(self, clean: torch.Tensor, faulted: torch.Tensor) -> torch.Tensor:
        """What :meth:`read` gave, with ``faulted`` in place of the words that are hit."""
        return faulted


class PlacedMasks(PlacedMap):
    """A fault map as one mask for each word, as a GPU draws it; int32 of shape [words]."""

    flips: torch.Tensor

    def __init__(self, masks: torch.Tensor, codec: Codec, width: int) -> None:
        self.codec, self.width = codec, width
        self.grid = codec.lowest(width), codec.highest(width)
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
