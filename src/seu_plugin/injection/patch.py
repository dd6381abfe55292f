"""Writing upsets into a weight that a graph of gradients holds."""

from __future__ import annotations

from typing import Any

import torch

from .placement import PlacedMap


class Patch(torch.autograd.Function):
    """Writes values into a tensor in place; the gradient passes straight through."""

    @staticmethod
    def forward(
        ctx: Any, clean: torch.Tensor, placed: PlacedMap, values: torch.Tensor
    ) -> torch.Tensor:
        ctx.mark_dirty(clean)
        placed.write(clean, values)
        return clean

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return grad, None, None
