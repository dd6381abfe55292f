"""What this project is compared with: a float32 uniform for every bit, int64 bit planes.

The steps of published injectors: weights to codes, codes to bit planes, planes XOR mask, planes
back to codes, codes to weights; all of it dense, in every forward.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator

import torch
from torch import nn


def upset(weight: torch.Tensor, scale: torch.Tensor, width: int, ber: float) -> torch.Tensor:
    """``weight`` with each of its stored bits flipped where a uniform is below the BER."""
    half = 1 << width - 1
    stored = (torch.round(weight / scale).clamp(-half, half - 1) + half).to(torch.int64)
    places = torch.arange(width, device=weight.device)
    planes = (stored.unsqueeze(-1) >> places) & 1
    planes = planes ^ (torch.rand(planes.shape, device=weight.device) < ber).to(torch.int64)
    return ((planes << places).sum(-1) - half).to(weight.dtype) * scale


@contextmanager
def injected(model: nn.Module, ber: float) -> Iterator[None]:
    """Upsets in the output of every weight quantizer of ``model``, anew in each call."""

    def hook(quantizer: Any, args: Any, clean: torch.Tensor) -> torch.Tensor:
        width = args[1]
        faulted = upset(clean.detach(), quantizer.get_scale(width), width, ber)
        return faulted + (clean - clean.detach())

    quantizers = [m.quan_w_fn for m in model.modules() if hasattr(m, "quan_w_fn")]
    handles = [quantizer.register_forward_hook(hook) for quantizer in quantizers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
