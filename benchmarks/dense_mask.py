"""What this project is compared with: a float32 uniform for every bit, int64 bit planes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator

import torch
from torch import nn

from seu_plugin.codecs import codec

TWO = codec("twos_complement")


def upset(codes: torch.Tensor, width: int, ber: float) -> torch.Tensor:
    """``codes`` (int64) with each of their bits flipped where a uniform is below the BER."""
    flips = (torch.rand(*codes.shape, width, device=codes.device) < ber).to(torch.int64)
    mask = (flips << torch.arange(width, device=codes.device)).sum(-1)
    return TWO.decode(TWO.encode(codes, width) ^ mask, width)


@contextmanager
def injected(model: nn.Module, ber: float) -> Iterator[None]:
    """Upsets in the output of every weight quantizer of ``model``, anew in each call."""

    def hook(quantizer: Any, args: Any, clean: torch.Tensor) -> torch.Tensor:
        width = args[1]
        scale = quantizer.get_scale(width)
        codes = torch.round(clean.detach() / scale).to(torch.int64)
        faulted = upset(codes, width, ber) * scale
        return faulted + (clean - clean.detach())

    quantizers = [m.quan_w_fn for m in model.modules() if hasattr(m, "quan_w_fn")]
    handles = [quantizer.register_forward_hook(hook) for quantizer in quantizers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
