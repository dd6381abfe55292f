"""Layers without a quantizer: their weights are words of IEEE 754. Asked for by name alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Tuple

import torch
from torch import nn

from ...errors import SiteError
from ..contract import LayerSite, Site, hookimpl, layers
from ..grid import Grid
from ..names import named_modules

#: What ``quantizer`` calls it.
NAME = "float"
#: Bits of a word of each dtype that has one.
WIDTHS = {torch.float32: 32, torch.float16: 16, torch.bfloat16: 16}
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


@hookimpl
def seu_sites(model: nn.Module) -> List[Site]:
    """Every convolution and linear layer, in ``named_modules`` order."""
    users = _users(model)
    return [
        FloatSite(name, layer, layer, others=_others(users, layer))
        for name, layer in layers(model, lambda module: isinstance(module, _LAYERS))
    ]


def _users(model: nn.Module) -> Dict[int, List[Tuple[nn.Module, str]]]:
    """By parameter: the modules that hold it, and their names."""
    users: Dict[int, List[Tuple[nn.Module, str]]] = {}
    for name, module in named_modules(model):
        for tensor in module._parameters.values():
            if tensor is not None:
                users.setdefault(id(tensor), []).append((module, name))
    return users


def _others(users: Mapping[int, List[Tuple[nn.Module, str]]], layer: nn.Module) -> Tuple[str, ...]:
    weight = layer._parameters.get("weight")
    return tuple(name for module, name in users.get(id(weight), ()) if module is not layer)


@dataclass(frozen=True)
class FloatSite(LayerSite):
    """A weight as it is. ``quantizer`` is the layer itself; ``others``: modules that use the same
    weight."""

    others: Tuple[str, ...] = ()

    @property
    def floats(self) -> bool:
        return True

    @property
    def width(self) -> Optional[int]:
        """32 or 16. Raises SiteError for a weight that is no memory of its own."""
        if "weight" not in self.layer._parameters and "weight" not in self.layer._buffers:
            raise SiteError(
                f"layer {self.name!r}: its weight is computed in each forward (by parametrize or "
                "weight_norm, say), so it is no memory: remove that first, or exclude the layer"
            )
        if self.others:
            raise SiteError(
                f"layer {self.name!r}: its weight is that of {', '.join(self.others)}, too, which "
                "would read it without upsets: exclude the layer"
            )
        if self.weight.dtype not in WIDTHS:
            known = ", ".join(str(dtype) for dtype in WIDTHS)
            raise SiteError(
                f"layer {self.name!r}: its weight has {self.weight.dtype}; allowed are {known}"
            )
        return WIDTHS[self.weight.dtype]

    @property
    def widest(self) -> int:
        return self.width_if_set or 32

    def grid(self, width: int) -> Grid:
        """There is none: words are read as they are. Scale 1."""
        return Grid(width, True, torch.ones((), device=self.weight.device))

    def clean(self, width: int) -> torch.Tensor:
        return self.weight.detach()

    def check(self, width: int) -> None:
        """Any word is one."""
