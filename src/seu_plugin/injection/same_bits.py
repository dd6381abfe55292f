"""Whether two tensors are the same to whatever computes with them: bits, shape and strides."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, Hashable, List, Optional, Sequence, Tuple

import torch

_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PLAIN = (int, float, str, bool, type(None))


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether ``tensor`` is memory whose bits can be compared."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout == torch.strided
        and not (tensor.is_complex() or tensor.is_quantized or tensor.is_meta)
        and not (tensor.is_neg() or getattr(tensor, "is_nested", False))
    )


def is_bare(tensor: torch.Tensor) -> bool:
    """Whether ``tensor`` is plain, and nobody has put an attribute on it."""
    return is_plain(tensor) and not vars(tensor)


def may_be_copied(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether :func:`copied` gives tensors that nobody can tell from these: dense, each in memory
    of its own."""
    several = list({id(tensor): tensor for tensor in tensors}.values())
    if len({memory_of(tensor)[0] for tensor in several}) < len(several):
        return False
    return all(
        not tensor.storage_offset()
        and torch.empty_like(tensor, device="meta").stride() == tensor.stride()
        for tensor in several
    )


def version(tensor: torch.Tensor) -> Optional[int]:
    """How often ``tensor`` was written to; None of one made in inference mode, which does not
    count."""
    return None if tensor.is_inference() else tensor._version


def copied(tensors: Sequence[torch.Tensor]) -> Tuple[torch.Tensor, ...]:
    """Copies, of the same strides where that can be; one object stays one."""
    with torch.no_grad():
        made = {id(tensor): tensor.detach().clone() for tensor in tensors}
    return tuple(made[id(tensor)] for tensor in tensors)


def counted_copies(tensors: Sequence[torch.Tensor]) -> Tuple[torch.Tensor, ...]:
    """As :func:`copied`, and writing to them is counted, in inference mode, too."""
    with torch.inference_mode(False):
        return copied(tensors)


def form(tensor: torch.Tensor) -> Tuple[Any, ...]:
    """All that a kernel is chosen by: dtype, device, shape, strides and place in its memory."""
    place = tensor.storage_offset()
    return (tensor.dtype, tensor.device, tuple(tensor.shape), tensor.stride(), place)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two plain tensors have one form and the same bits (-0.0 is not 0.0, and a NaN is
    itself). On a GPU this waits for the device; on a CPU it ends with the first difference."""
    if form(one) != form(other):
        return False
    if one is other:
        return True
    with torch.no_grad():
        if one.is_floating_point():
            words = _WORDS[one.element_size()]
            one, other = one.detach().view(words), other.detach().view(words)
        return torch.equal(one, other)


def memory_of(tensor: torch.Tensor) -> Tuple[Hashable, int]:
    """A name of the memory that ``tensor`` lies in, and how many bytes that has."""
    if hasattr(tensor, "untyped_storage"):
        storage: Any = tensor.untyped_storage()
    else:  # before torch 2.0
        storage = tensor.storage()  # type: ignore[no-untyped-call]
    return (tensor.device, storage.data_ptr()), int(storage.nbytes())


def digest(tensor: torch.Tensor) -> bytes:
    """SHA-256 of the bits of a tensor on the CPU."""
    words = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(words.numpy().data).digest()


class Arguments:
    """What a module was called with: ``tensors`` in order, and ``form`` of it all; ``form`` is None
    if it is more than plain tensors and plain values."""

    __slots__ = ("form", "tensors")

    def __init__(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
        self.tensors: List[torch.Tensor] = []
        self.form: Optional[Tuple[Any, ...]] = None
        found: List[Any] = [len(args), *kwargs]
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor):
                if not is_bare(value):
                    return
                self.tensors.append(value)
                found.append(form(value))
            elif type(value) in _PLAIN:
                found.append((type(value), repr(value)))
            else:
                return
        self.form = tuple(found)


def outputs_of(output: Any) -> Optional[Tuple[torch.Tensor, ...]]:
    """The tensors of one plain tensor or a tuple of them; None of anything else."""
    several = output if type(output) is tuple else (output,)
    if all(isinstance(one, torch.Tensor) and is_bare(one) for one in several):
        return several
    return None
