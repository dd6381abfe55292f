"""Whether tensors are memory of their own: what can be read as stored words at all."""

from __future__ import annotations

from typing import Any, Callable, Iterable, List, Optional, Tuple

import torch
from torch.nn.parameter import is_lazy

from ..errors import SiteError

_PLAIN = (torch.Tensor, torch.nn.Parameter)


def _never(tensor: Any) -> bool:
    return False


#: Whether a tensor is one that a transform of torch.func made of another; not before torch 2.0.
_is_transformed: Callable[[Any], bool] = getattr(
    getattr(torch._C, "_functorch", None), "is_functorch_wrapped_tensor", _never
)


def check_memory_of_its_own(name: str, tensor: torch.Tensor) -> None:
    """Raise SiteError for a tensor without values, or in pieces, or of a transform."""
    if is_lazy(tensor):
        raise SiteError(f"{name}: has no shape yet (a lazy module): run the model once before")
    if tensor.is_meta:
        raise SiteError(f"{name}: is on the meta device, so it has no values to upset")
    if any(size > 1 and step == 0 for size, step in zip(tensor.shape, tensor.stride())):
        raise SiteError(f"{name}: its words share memory (it is an expanded view)")
    kind = type(tensor)
    if kind not in _PLAIN or _is_transformed(tensor):
        what = "a tensor of a torch.func transform" if kind in _PLAIN else f"a {kind.__name__}"
        raise SiteError(
            f"{name}: is {what}, not plain memory: torch.export, torch.func and fully_shard work "
            "on a model without upsets (disable first)"
        )


def check_not_in_pieces(model: torch.nn.Module) -> None:
    """Raise SiteError for a model whose weights lie on several ranks, a piece on each."""
    for module in model.modules():
        names = {one.__name__ for one in type(module).__mro__}
        # Of one rank, FullyShardedDataParallel keeps weights whole; fully_shard never does.
        shards = "FullyShardedDataParallel" in names and getattr(module, "world_size", 1) > 1
        if shards or "FSDPModule" in names:
            how = "FullyShardedDataParallel" if shards else "fully_shard"
            raise SiteError(
                f"model: {how} keeps weights in pieces, and a stored word is none of them: use "
                "DistributedDataParallel, or the model before it was wrapped"
            )


def overlapping(named: Iterable[Tuple[str, torch.Tensor]]) -> Optional[Tuple[str, str]]:
    """Names of two different tensors that lie in one memory, or None."""
    spans: List[Tuple[str, int, int, str]] = []
    for name, tensor in named:
        if tensor.numel() and not tensor.is_meta:
            reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride()))
            start = tensor.data_ptr()
            spans.append(
                (str(tensor.device), start, start + (reach + 1) * tensor.element_size(), name)
            )
    spans.sort()
    for (device, _, end, one), (other_device, start, _, other) in zip(spans, spans[1:]):
        if device == other_device and start < end:
            return one, other
    return None
