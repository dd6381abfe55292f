"""Layers of lsq-net (zhutmost/lsq-net): ``quan_w_fn`` with a range of codes, and no width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import torch
from torch import nn

from ..contract import LayerSite, Site, hookimpl, layers
from ..grid import Grid, width_of_range
from .rfquant import is_quantized


@hookimpl
def seu_sites(model: nn.Module) -> Sequence[Site]:
    """Every layer whose weight quantizer tells its range, in ``named_modules`` order."""
    return [LsqNetSite(name, layer, layer.quan_w_fn) for name, layer in layers(model, _is_known)]


def _is_known(module: nn.Module) -> bool:
    quantizer = module._modules.get("quan_w_fn")
    return (
        isinstance(getattr(module, "weight", None), torch.Tensor)
        and isinstance(getattr(quantizer, "s", None), torch.Tensor)
        and hasattr(quantizer, "thd_neg")
        and hasattr(quantizer, "thd_pos")
        and not is_quantized(module)
    )


@dataclass(frozen=True)
class LsqNetSite(LayerSite):
    """One weight; its quantizer has ``s``, ``thd_neg`` and ``thd_pos`` (quan/quantizer/lsq.py)."""

    @property
    def _range(self) -> Tuple[int, int]:
        return int(self.quantizer.thd_neg), int(self.quantizer.thd_pos)

    @property
    def width(self) -> Optional[int]:
        return width_of_range(self.name, *self._range)

    @property
    def signed(self) -> bool:
        return self._range[0] < 0

    @property
    def narrow(self) -> bool:
        lowest, highest = self._range
        return self.signed and lowest == -highest

    def grid(self, width: int) -> Grid:
        return Grid(width, self.signed, self.quantizer.s.detach(), narrow=self.narrow)
