"""The quantized weight of a layer, kept from forward to forward while nothing can change it."""

from __future__ import annotations

import sys
from typing import Any, Hashable, List, Mapping, Optional, Tuple

import torch

from ..quantizers.contract import Site
from .devices import autocast_state
from .placement import PlacedMap
from .reading import Reader

#: Words of the weight that are compared with what they were: a write through ``.data`` moves no
#: version counter.
PROBES = 32
#: Tensors of the quantizer up to this size are compared as a whole, for the same reason.
SMALL = 64
_PLAIN = (int, float, str, type(None))
#: Plain attributes of a quantizer, switches and bounds, that decide what it gives.
_STATES = {bool, int, float, str}


class KeptWeight:
    """A quantized weight, and the upsets that are in it now. ``whole``: what the quantizer gave, if
    it is more than that tensor."""

    def __init__(self, site: Site, clean: torch.Tensor, whole: Any) -> None:
        self.whole, self._site = whole, site
        self._tensor = _copy(clean)  # the host may hold it, or what it was detached from
        self._version = self._tensor._version
        self._placed: Optional[PlacedMap] = None
        self._saved = self._tensor

    def intact(self) -> bool:
        """Whether nobody else wrote into the tensor that the layer was given."""
        return self._tensor._version == self._version

    def under(self, placed: Optional[PlacedMap], reader: Reader, in_place: bool) -> torch.Tensor:
        """The weight with the upsets of ``placed`` and no others. Costs O(upsets), or nothing
        if they are there already; without ``in_place`` a change makes a copy."""
        if placed is self._placed:
            return self._tensor
        if not in_place or sys.getrefcount(self._tensor) > _ALONE:
            self._tensor = _copy(self._tensor)
        if self._placed is not None:
            self._placed.write(self._tensor, self._saved)
            self._placed = None
        if placed is not None:
            result = self._tensor if self.whole is None else self.whole
            grid = self._site.grid_of(result, placed.width)
            values = reader.faulted(self._tensor, placed, grid)
            self._saved = placed.read(self._tensor)
            placed.write(self._tensor, values)
            self._placed = placed
        self._version = self._tensor._version
        return self._tensor


class WeightCache:
    """Keeps one quantized weight, for as long as its key stays the same."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.clear()

    def clear(self) -> None:
        self._key: Hashable = None
        self._alive: List[torch.Tensor] = []
        self._probes: List[_Probe] = []
        self._kept: Optional[KeptWeight] = None

    def key(self, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Hashable:
        """What the quantizer's result depends on; None if it cannot be kept.

        That is so if a gradient flows, if the layer does not pass its own weight, or if the
        weight has no version counter.
        """
        weight, quantizer = self._site.weight, self._site.quantizer
        if not args or not _same(args[0], weight) or torch._C._get_tracing_state():
            return None
        tensors = [weight, *self._tensors()]
        graded = torch.is_grad_enabled()
        if any(t.is_inference() or (graded and t.requires_grad) for t in tensors):
            return None
        if not all(isinstance(v, _PLAIN) for v in (*args[1:], *kwargs.values())):
            return None
        return (
            (args[1:], tuple(sorted(kwargs.items()))),
            tuple((id(t), t.data_ptr(), t._version, t.dtype, t.device, t.shape) for t in tensors),
            (self._site.layer.training, quantizer.training),
            tuple(v for v in vars(quantizer).values() if type(v) in _STATES),
            (graded, torch.is_inference_mode_enabled(), autocast_state(weight.device.type)),
        )

    def find(self, key: Hashable) -> Optional[KeptWeight]:
        kept = self._kept
        if kept is None or key != self._key or not kept.intact():
            return None
        return kept if all(probe.unchanged() for probe in self._probes) else None

    def keep(self, key: Hashable, clean: torch.Tensor, whole: Any = None) -> KeptWeight:
        """Keep a copy of ``clean`` in place of what was kept before."""
        tensors = [self._site.weight, *self._tensors()]
        self._key = key
        # Held, so that neither an id nor an address is given to another tensor meanwhile.
        self._alive = [*tensors, *(t.detach() for t in tensors)]
        # On a GPU, comparing would wait for the device.
        self._probes = [_Probe(t.detach()) for t in tensors if t.device.type == "cpu"]
        self._kept = KeptWeight(self._site, clean, whole)
        return self._kept

    def _tensors(self) -> List[torch.Tensor]:
        quantizer = self._site.quantizer
        if quantizer._modules:
            return [*quantizer.parameters(), *quantizer.buffers()]
        own = (*quantizer._parameters.values(), *quantizer._buffers.values())
        return [tensor for tensor in own if tensor is not None]


def _same(given: Any, weight: torch.Tensor) -> bool:
    """Whether a quantizer is given the whole weight: as it is, or as ``weight[:]``."""
    return given is weight or (
        isinstance(given, torch.Tensor)
        and given.data_ptr() == weight.data_ptr()
        and (given.shape, given.stride(), given.dtype)
        == (weight.shape, weight.stride(), weight.dtype)
    )


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    # A tensor made in inference mode would have no version counter.
    with torch.inference_mode(False), torch.no_grad():
        return tensor.clone()


class _Probe:
    """Some values of a tensor, to be compared later."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor, n = tensor, tensor.numel()
        self._index = torch.arange(0, n, 1 if n <= SMALL else n // PROBES)
        self._then = tensor.take(self._index)

    def unchanged(self) -> bool:
        return torch.equal(self._tensor.take(self._index), self._then)


def _alone() -> int:
    class Holder:
        value = object()

    return sys.getrefcount(Holder.value)


#: What sys.getrefcount says of an attribute that nobody else holds; versions differ.
_ALONE = _alone()
