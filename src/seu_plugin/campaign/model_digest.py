"""Which weights a campaign is of."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from ..quantizers.names import unwrap


def digest_of(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers of ``model``, by name."""
    found = hashlib.sha256()
    left = list(unwrap(model).state_dict().items())
    while left:
        name, value = left.pop(0)
        if hasattr(value, "__tensor_flatten__"):  # a wrapper: what it holds is in plain tensors
            parts = value.__tensor_flatten__()[0]
            left[:0] = [(f"{name}.{part}", getattr(value, part)) for part in parts]
        elif isinstance(value, torch.Tensor):
            found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            words = value.detach().cpu().contiguous().view(-1)
            found.update(words.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
