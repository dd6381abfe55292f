"""Sites: the weight stores of a model's quantized layers.

A quantized layer is recognized by what the injector needs of it, not by its class: a
``weight``, a weight quantizer ``quan_w_fn``, and a width in ``bits`` or ``fixed_bits``.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import torch
from torch import nn

from ..errors import ConfigError, SiteError, did_you_mean
from ..fields import LayerSelection
from ..memory.codecs import codec
from ..settings.injection import InjectionSettings
from .names import site_name, unwrap
from .storage import check_memory_of_its_own, check_not_in_pieces, overlapping


@dataclass(frozen=True)
class Site:
    """A layer's weight store. ``name`` is the dotted path without ``module.``."""

    name: str
    layer: Any
    quantizer: Any

    @property
    def words(self) -> int:
        """Number of codes stored: one per weight."""
        return int(self.layer.weight.numel())

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
    def width_if_set(self) -> Optional[int]:
        """As :attr:`width`; None also where that raises."""
        try:
            return self.width
        except SiteError:
            return None

    @property
    def widest(self) -> int:
        """The largest width that the site offers; 16 if it does not say."""
        fixed = getattr(self.layer, "fixed_bits", None)
        if fixed is not None:
            return self.width or 16
        offered: Tuple[int, ...] = tuple(getattr(self.quantizer, "bit_list", ()) or ())
        return max(offered) if offered else 16

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

    def check_step_size(self, width: int) -> None:
        """As :meth:`step_size`; raises SiteError also for one that is 0 or no number. Waits for a
        GPU."""
        scale = self.step_size(width)
        if not bool((torch.isfinite(scale) & (scale != 0)).all()):
            raise SiteError(f"site {self.name!r}: its step size at {width} bits is 0 or no number")

    def _along_weight(self, scale: torch.Tensor) -> torch.Tensor:
        if scale.numel() == 1:
            return scale
        shape, found = tuple(self.layer.weight.shape), scale
        if scale.dim() == 1:
            lists = [1] * len(shape)
            lists[_output_axis(self.layer)] = scale.numel()
            found = scale.reshape(lists)
        if found.dim() != len(shape) or any(n not in (1, m) for n, m in zip(found.shape, shape)):
            raise SiteError(
                f"site {self.name!r}: step size of shape {tuple(scale.shape)} is neither per "
                f"tensor nor per channel of a weight {shape}"
            )
        return found


def _output_axis(layer: Any) -> int:
    """Which dimension of the weight counts output channels."""
    return 1 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 0


def checked_width(name: str, width: Any) -> int:
    """``width`` as an integer. Raises SiteError for what is none (a fraction, a text), or for a
    width that is no quantized memory."""
    whole = width
    if isinstance(width, torch.Tensor) and width.numel() == 1 and not width.is_floating_point():
        whole = width.item()
    if isinstance(whole, bool) or not isinstance(whole, numbers.Integral):
        raise SiteError(f"layer {name!r} runs at width {width!r}, which is not an integer")
    whole = int(whole)
    if not 1 <= whole <= 16:
        raise SiteError(
            f"layer {name!r} runs at width {whole}: quantized memory has widths 1 to 16"
        )
    return whole


def is_quantized(module: nn.Module) -> bool:
    """Whether ``module`` is a quantized layer."""
    return (
        # Not by getattr, which a wrapper around a layer (torch.compile) answers too.
        isinstance(module._modules.get("quan_w_fn"), nn.Module)
        and isinstance(getattr(module, "weight", None), torch.Tensor)
        and (hasattr(module, "bits") or hasattr(module, "fixed_bits"))
    )


def all_sites(model: nn.Module) -> List[Site]:
    """Every site of ``model``, in ``named_modules`` order."""
    found = [(site_name(n), m) for n, m in model.named_modules() if is_quantized(m)]
    return [Site(name, layer, layer.quan_w_fn) for name, layer in found]


def select_sites(model: nn.Module, layers: LayerSelection) -> Tuple[Site, ...]:
    """The sites of ``model`` that match ``layers``, in ``named_modules`` order.

    Raises SiteError if the model has no quantized layer, a pattern matches none, nothing is
    left, two sites share a quantizer or memory, or a weight has no values to upset.
    """
    check_not_in_pieces(model)
    sites = all_sites(model)
    names = [site.name for site in sites]
    root = unwrap(model)
    if any(site.layer is root for site in sites):
        raise SiteError(
            f"model: is itself a quantized layer ({type(root).__name__}): give the model that it "
            "is a part of, or nn.Sequential(layer)"
        )
    if not sites:
        raise SiteError(
            f"layers: {type(unwrap(model)).__name__} has no quantized layer (a module with weight, "
            "quan_w_fn and bits): quantize it with the host's replace_module_by_names first"
        )
    included = _matching(layers.include, names, "layers.include")
    excluded = _matching(layers.exclude, names, "layers.exclude")
    selected = tuple(s for s in sites if s.name in included and s.name not in excluded)
    if not selected:
        raise SiteError(
            f"layers: nothing is left after layers.exclude (sites are {', '.join(names)})"
        )
    owners: Dict[int, Site] = {}
    for site in selected:
        for what, shared in (("quantizer", site.quantizer), ("", site.layer.weight)):
            other = owners.setdefault(id(shared), site)
            if other is not site:
                thing = f"weight {what}".strip()
                raise SiteError(f"sites {other.name!r} and {site.name!r} share one {thing}")
        check_memory_of_its_own(f"weight of site {site.name!r}", site.layer.weight)
    shared = overlapping((site.name, site.layer.weight) for site in selected)
    if shared is not None:
        raise SiteError(f"sites {shared[0]!r} and {shared[1]!r} have weights in one memory")
    return selected


def _matching(patterns: Iterable[str], names: List[str], key: str) -> set[str]:
    found = set()
    for pattern in patterns:
        matches = {name for name in names if fnmatchcase(name, pattern)}
        if not matches:
            raise SiteError(
                f"{key}: pattern {pattern!r} matches no site{did_you_mean(pattern, names)} "
                f"(sites are {', '.join(names)})"
            )
        found |= matches
    return found


def check_grids(sites: Sequence[Site], settings: InjectionSettings) -> None:
    """Raise ConfigError if the encoding cannot hold the codes of a site, or if no site has one
    of the listed bit positions."""
    chosen = codec(settings.encoding)
    for site in sites:
        quantizer = site.quantizer
        unsigned = bool(getattr(quantizer, "all_positive", False))
        lowest = 0 if unsigned else -2 + bool(getattr(quantizer, "symmetric", False))
        highest = 3 if unsigned else 1  # the grid of width 2 tells signed from unsigned
        if lowest < chosen.lowest(2) or highest > chosen.highest(2):
            grid = "unsigned" if unsigned else "asymmetric signed" if lowest == -2 else "signed"
            raise ConfigError(
                f"encoding: {settings.encoding!r} cannot hold the {grid} codes of site "
                f"{site.name!r}"
            )
    if not isinstance(settings.bits, str):
        widest = max(site.widest for site in sites)
        for position in settings.bits:
            if position >= widest:
                raise ConfigError(
                    f"bits: no selected site has a bit {position}; the widest has {widest} bits "
                    f"(0 ... {widest - 1})"
                )
