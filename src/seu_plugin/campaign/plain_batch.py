"""A batch of a host's data, known to the last bit, so that it can be compared and made again."""

from __future__ import annotations

import hashlib
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

import torch

from ..injection.same_bits import is_plain, memory_of

_PLAIN = (int, float, str, bytes, bool, type(None))


class Form(NamedTuple):
    """All of a tensor on the CPU but its bits; its memory is its own, and no more than it needs."""

    dtype: torch.dtype
    shape: Tuple[int, ...]
    stride: Tuple[int, ...]
    inference: bool
    pinned: bool

    def empty(self) -> torch.Tensor:
        with torch.inference_mode(self.inference):
            return torch.empty_strided(
                self.shape,
                self.stride,
                dtype=self.dtype,
                device="cpu",
                pin_memory=self.pinned,
            )


class Batch(NamedTuple):
    """``nest``: tuples, lists and dicts of plain values, with a Form in place of each tensor."""

    nest: Any
    tensors: List[torch.Tensor]
    checksum: bytes
    nbytes: int


def batch_of(given: Any) -> Optional[Batch]:
    """None where it is more than tuples, lists and dicts of plain values and of tensors on the CPU,
    each of which has its memory to itself."""
    tensors: List[torch.Tensor] = []
    try:
        nest = _nest(given, tensors)
        found = begun_checksum(nest)
        for tensor in tensors:
            found.update(words_of(tensor))
    except (_Unknown, RuntimeError):  # a tensor that has no plain memory after all, or no end
        return None
    where = [memory_of(tensor)[0] for tensor in tensors if tensor.numel()]
    if len(set(where)) < len(where):  # what is written into one is seen in another
        return None
    nbytes = len(repr(nest)) + sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return Batch(nest, tensors, found.digest(), nbytes)


def begun_checksum(nest: Any) -> Any:
    """SHA-256, to which the bytes of each tensor are to be added in order."""
    return hashlib.sha256(repr(nest).encode(errors="surrogatepass"))


class _Unknown(Exception):
    """A value that is not known to be the same when it is made again."""


def _nest(value: Any, tensors: List[torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        form = _form(value)
        tensors.append(value)
        return form
    if type(value) in (tuple, list):
        return type(value)(_nest(one, tensors) for one in value)
    if type(value) is dict and all(type(key) in _PLAIN for key in value):
        return {key: _nest(one, tensors) for key, one in value.items()}
    if type(value) in _PLAIN:
        return value
    raise _Unknown


def _form(tensor: torch.Tensor) -> Form:
    if type(tensor) is not torch.Tensor or not is_plain(tensor) or tensor.requires_grad:
        raise _Unknown
    nbytes = tensor.numel() * tensor.element_size()
    if tensor.device.type != "cpu" or tensor.storage_offset() or vars(tensor):
        raise _Unknown
    if memory_of(tensor)[1] != nbytes:
        raise _Unknown
    pinned = torch.cuda.is_available() and tensor.is_pinned()
    form = (tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.is_inference(), pinned)
    return Form(*form)


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """The memory of a tensor that has it to itself, as bytes in the order that they lie in."""
    return tensor.detach().as_strided((tensor.numel(),), (1,)).view(torch.uint8)


def words_of(tensor: torch.Tensor) -> memoryview:
    """:func:`flat`, to be read from and written to."""
    words: Any = flat(tensor).numpy()
    return memoryview(words)


def filled(nest: Any, fill: Callable[[torch.Tensor], None]) -> Any:
    """A batch made anew, its tensors filled in order."""
    if isinstance(nest, Form):
        made = nest.empty()
        fill(made)
        return made
    if isinstance(nest, (tuple, list)):
        return type(nest)(filled(one, fill) for one in nest)
    if isinstance(nest, dict):
        return {key: filled(one, fill) for key, one in nest.items()}
    return nest
