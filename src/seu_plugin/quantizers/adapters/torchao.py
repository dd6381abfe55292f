"""Layers whose weight is a tensor of torchao: integers inside, and the layer computes with them.

Nothing of torchao is imported: its tensors are known by the module that their class is from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import torch
from torch import nn

from ...errors import SiteError
from ..contract import Site, hookimpl, layers
from ..stores import StoreSite

_FROM = "torchao."
#: Classes that keep one signed code in each int8 element of ``qdata``.
_KNOWN = ("Int8Tensor", "IntxUnpackedToInt8Tensor")


@hookimpl
def seu_sites(model: nn.Module) -> Sequence[Site]:
    """Every layer with a weight of torchao's, in ``named_modules`` order."""
    return [TorchaoSite(name, layer) for name, layer in layers(model, _is_known)]


def _is_known(module: nn.Module) -> bool:
    weight = module._parameters.get("weight")
    # A weight that cannot be upset is a site, too, so that it is refused and not left clean.
    return weight is not None and _is_of_torchao(weight)


def _is_of_torchao(tensor: Any) -> bool:
    return any(one.__module__.startswith(_FROM) for one in type(tensor).__mro__)


@dataclass(frozen=True)
class TorchaoSite(StoreSite):
    """The codes in the plain tensor ``qdata``; scales and zero points stay as they are."""

    @property
    def _tensor(self) -> Any:
        """Raises SiteError for a tensor that keeps no codes of its own in int8 elements."""
        found = self.layer.weight
        codes = getattr(found, "qdata", None)
        kept = getattr(codes, "dtype", None)
        if type(found).__name__ not in _KNOWN or kept is not torch.int8:
            raise SiteError(
                f"layer {self.name!r}: its weight must be torchao's {' or '.join(_KNOWN)} with "
                f"qdata of torch.int8; received {type(found).__name__} with {kept}; exclude it"
            )
        return found

    @property
    def weight(self) -> torch.Tensor:
        found: torch.Tensor = self._tensor.qdata
        return found

    @property
    def width(self) -> int:
        """That of the target dtype, which is narrower than the element that a code is kept in."""
        target = str(getattr(self._tensor, "target_dtype", torch.int8))
        digits = target[len("torch.int") :]
        if not digits.isdigit() or not 1 <= int(digits) <= 8:
            raise SiteError(
                f"layer {self.name!r}: the target dtype of its weight must be int1 ... int8; "
                f"received {target}"
            )
        return int(digits)
