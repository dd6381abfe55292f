"""torch.ao's layers of quantization-aware training: ``weight_fake_quant``, fused or not.

Nothing of torch.ao is imported: its layers are known by the module that their class is from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import torch
from torch import nn

from ...errors import SiteError
from ..contract import LayerSite, Site, hookimpl, layers
from ..grid import Grid, per_channel, width_of_range

#: Where classes of such layers are from; the last two before torch 2.0.
_FROM = ("torch.ao.nn.", "torch.nn.qat.", "torch.nn.intrinsic.qat.")
#: What gives integer codes has all of these; an observer has not.
_NEEDED = ("scale", "zero_point", "fake_quant_enabled")
_SYMMETRIC = (torch.per_tensor_symmetric, torch.per_channel_symmetric)
_PER_CHANNEL = (
    torch.per_channel_symmetric,
    torch.per_channel_affine,
    torch.per_channel_affine_float_qparams,
)


@hookimpl
def seu_sites(model: nn.Module) -> Sequence[Site]:
    """Every layer with a fake-quantized weight, in ``named_modules`` order."""
    found = layers(model, _is_known)
    return [TorchAoSite(name, layer, layer.weight_fake_quant) for name, layer in found]


def _is_known(module: nn.Module) -> bool:
    return isinstance(module._modules.get("weight_fake_quant"), nn.Module) and any(
        one.__module__.startswith(_FROM) for one in type(module).__mro__
    )


@dataclass(frozen=True)
class TorchAoSite(LayerSite):
    """One weight; its FakeQuantize has ``scale``, ``zero_point``, ``quant_min``, ``quant_max``."""

    @property
    def _bounds(self) -> Tuple[int, int]:
        # The observer's are those in use; the other two are kept for old code.
        source = getattr(self.quantizer, "activation_post_process", self.quantizer)
        lowest, highest = (getattr(source, key, None) for key in ("quant_min", "quant_max"))
        missing = any(not hasattr(self.quantizer, key) for key in _NEEDED)
        if missing or lowest is None or highest is None:
            raise SiteError(
                f"layer {self.name!r}: its weight_fake_quant is a {type(self.quantizer).__name__}, "
                "which gives no integer codes; exclude it"
            )
        return int(lowest), int(highest)

    @property
    def width(self) -> Optional[int]:
        return width_of_range(self.name, *self._bounds)

    @property
    def signed(self) -> bool:
        return self._bounds[0] < 0

    @property
    def narrow(self) -> bool:
        lowest, highest = self._bounds
        return self.signed and lowest == -highest

    @property
    def _axis(self) -> Optional[int]:
        """That of channels; None if the weight has one scale."""
        quantizer = self.quantizer
        if hasattr(quantizer, "is_per_channel"):
            by_channel = quantizer.is_per_channel
        else:  # of one whose scale is learned
            by_channel = quantizer.qscheme in _PER_CHANNEL
        return int(quantizer.ch_axis) if by_channel else None

    @property
    def _numbers(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Scale and zero point in use: one that is learned is a float, which is rounded, or 0."""
        quantizer = self.quantizer
        scale, zero = quantizer.scale.detach(), quantizer.zero_point.detach()
        if isinstance(quantizer.zero_point, nn.Parameter):
            symmetric = quantizer.qscheme in _SYMMETRIC
            zero = (zero * 0 if symmetric else zero.round().clamp(*self._bounds)).int()
        return scale, zero

    def grid(self, width: int) -> Grid:
        dims, axis = self.weight.dim(), self._axis or 0
        scale, zero = (per_channel(numbers, axis, dims) for numbers in self._numbers)
        return Grid(width, self.signed, scale, zero, self.narrow)

    def _quantized(self) -> torch.Tensor:
        """What the layer has quantized: its weight as the BatchNorm, if it holds one, scales it."""
        weight, norm = self.weight.detach(), self.layer._modules.get("bn")
        if norm is None:
            return weight
        factor = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        scaled: torch.Tensor = weight * factor.reshape(-1, *[1] * (weight.dim() - 1))
        return scaled

    def clean(self, width: int) -> torch.Tensor:
        """As the quantizer's forward, which may have an observer learn from what it is given."""
        weight, bounds, (scale, zero) = self._quantized(), self._bounds, self._numbers
        if self._axis is None:
            return torch.fake_quantize_per_tensor_affine(weight, scale, zero, *bounds)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, self._axis, *bounds)

    def check(self, width: int) -> None:
        if not bool(self.quantizer.fake_quant_enabled):
            raise SiteError(
                f"layer {self.name!r}: its fake quantization is switched off, so it would run in "
                "floating point: call model.apply(torch.ao.quantization.enable_fake_quant) first"
            )
        scales, axis = self.quantizer.scale.numel(), self._axis
        if axis is not None and scales != self.weight.shape[axis]:
            raise SiteError(
                f"layer {self.name!r}: its weight_fake_quant needs a scale for each of "
                f"{self.weight.shape[axis]} channels and has {scales}: observers have seen nothing "
                "yet; run the model once, in train mode, before"
            )
        super().check(width)
