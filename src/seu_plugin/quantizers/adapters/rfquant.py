"""RFQuant's layers, and all that look like them: ``weight``, ``quan_w_fn``, ``bits``.

A quantized layer is recognized by what is needed of it, not by its class: a ``weight``, a weight
quantizer ``quan_w_fn``, and a width in ``bits`` or ``fixed_bits``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from ...errors import InjectionError, SiteError
from ..contract import LayerSite, Site, StepWords, hookimpl, layers
from ..grid import Grid, check_axis, check_numbers, checked_width, per_channel


@hookimpl
def seu_sites(model: nn.Module) -> Sequence[Site]:
    """Every layer of RFQuant's, or alike, in ``named_modules`` order."""
    return [RFQuantSite(name, m, m.quan_w_fn) for name, m in layers(model, is_quantized)]


def is_quantized(module: nn.Module) -> bool:
    """Whether ``module`` is a quantized layer."""
    return (
        # Not by getattr, which a wrapper around a layer (torch.compile) answers too.
        isinstance(module._modules.get("quan_w_fn"), nn.Module)
        and isinstance(getattr(module, "weight", None), torch.Tensor)
        and (hasattr(module, "bits") or hasattr(module, "fixed_bits"))
    )


@dataclass(frozen=True)
class RFQuantSite(LayerSite):
    """A layer's weight store. ``name`` is the dotted path without ``module.``."""

    @property
    def width(self) -> Optional[int]:
        """Width in bits that the layer is set to now; None while it is a list of candidates.

        Raises SiteError if the layer is set to no width, or to floating point (>= 32).
        """
        fixed = getattr(self.layer, "fixed_bits", None)
        bits = fixed if fixed is not None else getattr(self.layer, "bits", None)
        if bits is None:
            raise SiteError(
                f"layer {self.name!r} has no bit width yet, so it would run in floating point: "
                "call setup_model_with_bit_width_config (or the host's set_bit_width) first, or "
                "exclude it"
            )
        if not isinstance(bits, (list, tuple)) or not bits:
            raise SiteError(
                f"layer {self.name!r}: its bits must be (width of weights, width of activations); "
                f"received {bits!r}"
            )
        if isinstance(bits[0], (list, tuple)):
            return None
        return checked_width(self.name, bits[0])

    @property
    def widest(self) -> int:
        """The largest width that the site offers; 16 if it does not say."""
        if getattr(self.layer, "fixed_bits", None) is not None:
            return self.width or 16
        offered: Tuple[int, ...] = tuple(getattr(self.quantizer, "bit_list", ()) or ())
        return max(offered) if offered else 16

    @property
    def width_changes(self) -> bool:
        return True

    @property
    def signed(self) -> bool:
        return not getattr(self.quantizer, "all_positive", False)

    @property
    def narrow(self) -> bool:
        return self.signed and bool(getattr(self.quantizer, "symmetric", False))

    def step_size(self, width: int) -> torch.Tensor:
        """Detached step size at ``width``: one element, or as many dimensions as the weight has,
        each of its size or of 1; per output channel if the quantizer gives a list.

        Raises SiteError if the quantizer has none to read, or none of such a shape.
        """
        read = getattr(self.quantizer, "get_scale", None)
        try:
            scale = read(width) if callable(read) else None
        except KeyError as error:
            raise SiteError(f"site {self.name!r} offers no width {width}") from error
        if not isinstance(scale, torch.Tensor):
            raise SiteError(
                f"site {self.name!r}: cannot read the step size of its quantizer "
                f"{type(self.quantizer).__name__} (no get_scale(bits)); exclude the layer"
            )
        return self._along_weight(scale.detach())

    def grid(self, width: int) -> Grid:
        return Grid(width, self.signed, self.step_size(width), narrow=self.narrow)

    def clean(self, width: int) -> torch.Tensor:
        found: torch.Tensor = self.quantizer(self.weight, width)
        return found.detach()

    def check(self, width: int) -> None:
        check_numbers(self.name, self.grid(width))

    def width_of(self, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
        bits = _bits(args, kwargs)
        if bits is None:
            raise InjectionError(
                f"site {self.name!r}: its layer called the quantizer without a width"
            )
        return checked_width(self.name, bits)

    def step_words(self) -> StepWords:
        return self._step_words("quan_w_fn")

    def activations(self) -> RFQuantActivations:
        quantizer = getattr(self.layer, "quan_a_fn", None)
        if not isinstance(quantizer, nn.Module):
            raise SiteError(
                f"targets: activations, but layer {self.name!r} has no quan_a_fn; exclude it"
            )
        return RFQuantActivations(f"{self.name}.activations", quantizer)

    def activation_step_words(self) -> StepWords:
        return self._step_words("quan_a_fn")

    def _step_words(self, kind: str) -> StepWords:
        quantizer = getattr(self.layer, kind, None)
        if not isinstance(getattr(quantizer, "s", None), torch.Tensor):
            raise SiteError(
                f"targets: step_sizes, but site {self.name!r} has no {kind}.s to read; exclude it"
            )
        assert isinstance(quantizer, nn.Module)
        return StepWords(f"{kind}.s", quantizer, "s", lambda width: _part_of(quantizer, width))

    def _along_weight(self, scale: torch.Tensor) -> torch.Tensor:
        shape = self.weight.shape
        if scale.dim() != 1 or scale.numel() == 1:
            check_axis(self.name, scale, shape)
            return scale
        found = per_channel(scale, _output_axis(self.layer), len(shape))
        if found.shape[_output_axis(self.layer)] != shape[_output_axis(self.layer)]:
            check_axis(self.name, scale, shape)
        return found


@dataclass(frozen=True)
class RFQuantActivations:
    """The codes that ``quan_a_fn`` gives."""

    name: str
    quantizer: Any

    @property
    def signed(self) -> bool:
        return not getattr(self.quantizer, "all_positive", False)

    def grid(self, width: int) -> Grid:
        read = getattr(self.quantizer, "get_scale", None)
        scale = read(width) if callable(read) else None
        if not isinstance(scale, torch.Tensor) or scale.numel() != 1:
            raise InjectionError(f"{self.name}: its quantizer has no single step size to read")
        return Grid(width, self.signed, scale.detach())

    def width_of(self, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Optional[int]:
        """None for a float32 input image, say."""
        width = _bits(args, kwargs)
        if width is None or int(width) >= 32:
            return None
        return checked_width(self.name, width)


def _bits(args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The width that a quantizer is called with."""
    return kwargs["bits"] if "bits" in kwargs else args[1] if len(args) > 1 else None


def _part_of(quantizer: Any, width: int) -> int:
    """Which of a quantizer's step sizes is that of ``width`` (quan/quantizer/lsq.py)."""
    index = getattr(quantizer, "_index_bits", None)
    return int(index(width)) if callable(index) else list(quantizer.bit_list).index(width)


def _output_axis(layer: Any) -> int:
    """Which dimension of the weight counts output channels."""
    return 1 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 0
