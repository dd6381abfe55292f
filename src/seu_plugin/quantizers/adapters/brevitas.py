"""Brevitas's layers: a weight and its ``weight_quant``, whose result tells its own grid.

Nothing of Brevitas is imported: its proxies are known by the module that their class is from.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Dict, Hashable, Iterator, List, Optional, Sequence

import torch
from torch import nn

from ...errors import SiteError
from ..contract import LayerSite, Site, hookimpl, layers
from ..grid import Grid, checked_width

_FROM = "brevitas."


@hookimpl
def seu_sites(model: nn.Module) -> Sequence[Site]:
    """Every layer that has a weight quantizer, in ``named_modules`` order. One that is switched
    off is a site, too, so that it is refused and not left clean."""
    return [BrevitasSite(name, m, m.weight_quant) for name, m in layers(model, _is_known)]


def _is_known(module: nn.Module) -> bool:
    proxy = module._modules.get("weight_quant")
    ours = any(one.__module__.startswith(_FROM) for one in type(proxy).__mro__)
    # With weight_quant=None there is a proxy, and no quantizer in it.
    return ours and getattr(proxy, "tensor_quant", None) is not None


@dataclass(frozen=True)
class BrevitasSite(LayerSite):
    """One weight; its proxy gives an ``IntQuantTensor``: value, scale, zero point, bit width."""

    _widths: Dict[Hashable, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def width(self) -> Optional[int]:
        """As the quantizer says it now, which may learn it. Raises SiteError for one without
        integer codes."""
        bit_width = self._bit_width
        tensors = [*bit_width.parameters(), *bit_width.buffers()]
        if any(t.is_inference() for t in tensors):  # without a version counter
            return self._asked(bit_width)
        key = tuple((id(t), t._version) for t in tensors)
        if key not in self._widths:  # asking a GPU waits for it
            self._widths.clear()
            self._widths[key] = self._asked(bit_width)
        return self._widths[key]

    @property
    def _bit_width(self) -> nn.Module:
        found = getattr(self.quantizer.tensor_quant, "msb_clamp_bit_width_impl", None)
        if not isinstance(found, nn.Module):
            raise SiteError(
                f"layer {self.name!r}: its weight quantizer, Brevitas's "
                f"{type(self.quantizer.tensor_quant).__name__}, gives no integer codes; exclude it"
            )
        return found

    def _asked(self, bit_width: nn.Module) -> int:
        with torch.no_grad():
            found = float(bit_width())
        return checked_width(self.name, int(found) if found.is_integer() else found)

    @property
    def signed(self) -> bool:
        return bool(self.quantizer.is_signed)

    @property
    def narrow(self) -> bool:
        return bool(self.quantizer.is_narrow_range)

    def grid(self, width: int) -> Grid:
        return self.grid_of(self._result(), width)

    def grid_of(self, result: Any, width: int) -> Grid:
        """From ``result`` itself: scales of statistics would be computed from all words again."""
        if isinstance(result, torch.Tensor):  # proxies may be told to give nothing else
            result = self._result()
        scale, zero_point = result.scale.detach(), result.zero_point.detach()
        return Grid(width, self.signed, scale, zero_point, self.narrow)

    def clean(self, width: int) -> torch.Tensor:
        return self.value_of(self._result())

    def value_of(self, result: Any) -> torch.Tensor:
        found: torch.Tensor = result if isinstance(result, torch.Tensor) else result.value
        return found

    def with_value(self, result: Any, value: torch.Tensor) -> Any:
        if not hasattr(result, "value_"):
            return result._replace(value=value)
        # By group, in a shape of its own; groups that do not divide the weight end with padding.
        grouped, axis = result.value_, result.group_dim
        first = axis if axis >= 0 else axis - 1
        flat, words = grouped.flatten(first, first + 1), value.shape[axis]
        if flat.shape[axis] > words:
            padding = flat.narrow(axis, words, flat.shape[axis] - words)
            value = torch.cat((value, padding), axis)
        return result._replace(value_=value.reshape(grouped.shape))

    def _result(self) -> Any:
        """What the quantizer gives, detached. Nothing is changed by it, though the first call of
        one may set what it learns, and one that rounds at random draws."""
        proxy, weight = self.quantizer, self.weight.detach()
        with torch.no_grad(), torch.random.fork_rng(_devices(weight)), _as_before(proxy, weight):
            return proxy.create_quant_tensor(proxy.tensor_quant(weight))

    def check(self, width: int) -> None:
        proxy = self.quantizer
        if not proxy.is_quant_enabled:
            raise SiteError(
                f"layer {self.name!r}: its weight quantizer is switched off, so it would run in "
                "floating point: set weight_quant.disable_quant = False first, or exclude it"
            )
        if proxy.requires_quant_input:
            raise SiteError(
                f"layer {self.name!r}: what its weight is quantized to depends on its input "
                f"({type(proxy.tensor_quant).__name__}), so it is no memory; exclude it"
            )
        super().check(width)


@contextmanager
def _as_before(proxy: nn.Module, weight: torch.Tensor) -> Iterator[None]:
    """Put back what calls change inside: tensors other than the weight, flags, and counts.

    A copy would not do: quantizers that search for their scale call the one that they are part of.
    """
    own = [vars(module) for module in proxy.modules()]
    plain = [{k: v for k, v in one.items() if isinstance(v, (bool, int, float))} for one in own]
    tensors = [t.detach() for t in (*proxy.parameters(), *proxy.buffers())]
    saved = [(t, t.clone()) for t in tensors if t.data_ptr() != weight.data_ptr()]
    try:
        yield
    finally:
        for attributes, before in zip(own, plain):
            attributes.update(before)
        for tensor, value in saved:
            if not torch.equal(tensor, value):
                tensor.copy_(value)


def _devices(tensor: torch.Tensor) -> List[int]:
    """Whose generators, beside the CPU's, a computation with ``tensor`` may draw from."""
    return [tensor.get_device()] if tensor.is_cuda else []
