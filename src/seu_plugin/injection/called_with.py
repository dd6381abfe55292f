"""What a forward of the model was called with, and how: the same as in the golden run, or not."""

from __future__ import annotations

from typing import Any, Dict, Hashable, List, Sequence, Tuple

import torch

from .devices import autocast_state
from .kept import Kept
from .same_bits import Arguments, counted_copies, digest, same_bits


class CalledWith:
    """What a module was called with: the digest of each tensor on a CPU; others are kept."""

    def __init__(self, arguments: Arguments, kept: Kept) -> None:
        self._form, self.complete = arguments.form, True
        self._parts: List[Any] = []
        self._reserved = 0
        for tensor in arguments.tensors:
            if tensor.device.type == "cpu":
                self._parts.append(digest(tensor))
            elif kept.reserve(tensor.numel() * tensor.element_size()):
                self._parts += counted_copies([tensor])
                self._reserved += tensor.numel() * tensor.element_size()
            else:
                self.complete = False

    def release(self, kept: Kept) -> None:
        """Forget it."""
        kept.release(self._reserved)
        self._parts, self._reserved, self.complete = [], 0, False

    def equals(self, arguments: Arguments) -> bool:
        if arguments.form != self._form:
            return False
        for tensor, part in zip(arguments.tensors, self._parts):
            if isinstance(part, bytes):
                if digest(tensor) != part:
                    return False
            elif not same_bits(tensor, part):
                return False
        return True


def device_of(tensors: Sequence[torch.Tensor]) -> torch.device:
    return tensors[0].device if tensors else torch.device("cpu")


def context(device: torch.device) -> Tuple[Hashable, ...]:
    """What else decides which kernels run."""
    cudnn: Dict[str, Any] = {}
    if device.type == "cuda":
        flags = torch.backends.cudnn
        cudnn = {"benchmark": flags.benchmark, "tf32": flags.allow_tf32}
    return (
        autocast_state(device.type),
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        tuple(cudnn.items()),
    )
