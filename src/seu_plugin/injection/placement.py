"""A fault map where the weights are: which words it hits, and how to get at them."""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt
import torch

from ..faults.cell_map import CellMap
from ..faults.decoding import ProtectedMap
from ..faults.fault_map import FaultMap, popcount
from ..memory.codecs import Codec

#: Takes upsets, bits and words read wrong, words corrected and given up; or, from a GPU, a tensor
#: with the first and the third, which are then all there is.
OnRead = Callable[[Union[Tuple[int, int, int, int, int], torch.Tensor]], None]


def counted(masks: torch.Tensor, width: int) -> torch.Tensor:
    """Set bits of all ``masks``, and masks that are not 0; stays on the device."""
    planes = torch.stack([(masks >> bit & 1).sum() for bit in range(width)])
    return torch.stack((planes.sum(), (masks != 0).sum()))


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

    Where flips depend on what is stored, ``mask`` and ``flips`` are not set; :meth:`wrong` finds
    them and tells ``on_read`` about the first reading.
    """

    mask: npt.NDArray[np.int32]
    flips: Optional[torch.Tensor] = None
    effect: Union[CellMap, ProtectedMap, None] = None

    def __init__(
        self,
        fault_map: Union[FaultMap, CellMap, ProtectedMap],
        codec: Codec,
        width: int,
        device: torch.device,
        codes_on: Optional[torch.device] = None,
        on_read: Optional[OnRead] = None,
    ) -> None:
        self.codec, self.width = codec, width
        self.grid = codec.lowest(width), codec.highest(width)
        self.index = shipped(fault_map.index, device)
        self._on_read = on_read
        self.codes_on = codes_on or device
        self.on_host = self.codes_on.type == "cpu"
        if not isinstance(fault_map, FaultMap):
            self.effect = fault_map
            if isinstance(fault_map, CellMap) and not self.on_host:
                up, down = (shipped(m, codes_on or device) for m in (fault_map.up, fault_map.down))
                self._cells = CellMap(fault_map.index, up, down)  # type: ignore[arg-type]
            return
        self.mask = fault_map.mask
        if (codes_on or device).type != "cpu":
            self.flips = shipped(codec.flips(self.mask, width), codes_on or device)

    def wrong(self, stored: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """The bits of the hit words that are read wrong, from what they hold."""
        assert self.effect is not None
        if isinstance(self.effect, CellMap):
            flips = self.effect.flips(stored)
            upsets = popcount(flips)
            counts = (upsets, upsets, int(np.count_nonzero(flips)), 0, 0)
        else:
            seen = self.effect.read(stored)
            flips = seen.flips
            hit = int(np.count_nonzero(flips))
            counts = (seen.upsets, popcount(flips), hit, seen.corrected, seen.detected)
        self._tell(counts)
        return np.asarray(flips, dtype=np.int32)

    def wrong_on_device(self, stored: torch.Tensor) -> torch.Tensor:
        """As :meth:`wrong`. Without protection nobody waits for the device."""
        if self.on_host or isinstance(self.effect, ProtectedMap):
            return torch.from_numpy(self.wrong(stored.cpu().numpy())).to(stored.device)
        flips: torch.Tensor = self._cells.flips(stored)
        self._tell(counted(flips, self.width))
        return flips

    def _tell(self, counts: Union[Tuple[int, int, int, int, int], torch.Tensor]) -> None:
        on_read, self._on_read = self._on_read, None
        if on_read is not None:
            on_read(counts)

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

    def of_words(self, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """The step size (or zero point) of each hit word: one element if all have the same."""
        if scale.numel() == 1:
            return scale.reshape(1)
        scale = scale.contiguous()
        steps = scale.expand(weight.shape).stride()  # 0 along dimensions that share a step size
        where, inner = torch.zeros_like(self.index), weight.numel()
        for size, step in zip(weight.shape, steps):
            inner //= size
            if step:
                position = torch.div(self.index, inner, rounding_mode="floor") % size
                where += position * step
        return scale.view(-1)[where]

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

    def of_words(self, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        if scale.numel() == 1:
            return scale.reshape(1)
        return scale.expand(weight.shape).reshape(-1)

    def combine(self, clean: torch.Tensor, faulted: torch.Tensor) -> torch.Tensor:
        return torch.where(self.flips != 0, faulted, clean)  # not hit: not touched
