"""Codes in any integer tensor: a description says which of its bits form each code."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field
from typing import Any, Sequence

import torch

from ..errors import SiteError
from .stores import writing

_SIZES = {torch.int8: 8, torch.uint8: 8, torch.int16: 16, torch.int32: 32, torch.int64: 64}


def _check_width(width: Any) -> None:
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= 16:
        raise SiteError(f"width {width!r}: quantized memory has widths 1 to 16")


@dataclass(frozen=True, eq=False)
class BitStore:
    """A store whose codes have ``width`` bits each at places of ``tensor``; bits that no code names
    stay as they are. A subclass says ``words`` and ``places``.

    A place is element * bits of an element + bit, elements in logical order, bit 0 the lowest.
    """

    tensor: torch.Tensor
    width: int
    signed: bool = False

    def __post_init__(self) -> None:
        _check_width(self.width)
        if self.tensor.dtype not in _SIZES:
            allowed = ", ".join(str(one)[6:] for one in _SIZES)
            raise SiteError(
                f"tensor: its dtype must be one of {allowed}; received {self.tensor.dtype}"
            )
        if not self.tensor.is_contiguous():
            raise SiteError(
                f"tensor: must be contiguous; received strides {self.tensor.stride()} of shape "
                f"{tuple(self.tensor.shape)}"
            )

    @property
    def size(self) -> int:
        """Bits of an element."""
        return _SIZES[self.tensor.dtype]

    @property
    def words(self) -> int:
        raise NotImplementedError

    def places(self, index: torch.Tensor, bit: int) -> torch.Tensor:
        """Where bit ``bit`` of each code in ``index`` lies; int64, as ``index``."""
        raise NotImplementedError

    def read(self) -> torch.Tensor:
        return self.read_at(torch.arange(self.words, device=self.tensor.device))

    def write(self, codes: torch.Tensor) -> None:
        changed = (self.read() != codes).nonzero().flatten()
        self.write_at(changed, codes[changed])

    def read_at(self, index: torch.Tensor) -> torch.Tensor:
        """The codes of the words in ``index``, int32."""
        flat = self.tensor.detach().view(-1)
        codes = torch.zeros_like(index, dtype=torch.int32)
        for bit in range(self.width):
            element, shift = self._split(self.places(index, bit))
            codes |= ((flat[element].long() >> shift) & 1).int() << bit
        if self.signed:
            sign = 1 << (self.width - 1)
            codes = (codes ^ sign) - sign
        return codes

    def write_at(self, index: torch.Tensor, codes: torch.Tensor) -> None:
        """Store ``codes`` in the words in ``index``, each of them named once."""
        flips = self.read_at(index) ^ codes
        elements, masks = [], []
        for bit in range(self.width):
            hit = (flips >> bit & 1).nonzero().flatten()
            element, shift = self._split(self.places(index[hit], bit))
            elements.append(element)
            masks.append(torch.ones_like(shift) << shift)
        touched, inverse = torch.unique(torch.cat(elements), return_inverse=True)
        # Bits of one element differ, so that their sum has all of them set, the sign bit, too.
        mask = torch.zeros_like(touched).index_add_(0, inverse, torch.cat(masks))
        flat = self.tensor.detach().view(-1)
        with writing(flat):
            flat[touched] = (flat[touched].long() ^ mask).to(flat.dtype)

    def _split(self, places: torch.Tensor) -> Any:
        element = torch.div(places, self.size, rounding_mode="floor")
        return element, places - element * self.size


@dataclass(frozen=True, eq=False)
class PackedBits(BitStore):
    """``bits``: integers of shape [words, width], the place of each bit of each code, the lowest
    first. Raises SiteError for a place that is outside of the tensor or named twice."""

    bits: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        bits = torch.as_tensor([] if self.bits is None else self.bits)
        number = bits.is_floating_point() or bits.is_complex() or bits.dtype is torch.bool
        if number or bits.dim() != 2 or bits.shape[1] != self.width:
            raise SiteError(
                f"bits: must be integers of shape [words, {self.width}]; received {bits.dtype} of "
                f"shape {tuple(bits.shape)}"
            )
        bits = bits.to(self.tensor.device, torch.int64)
        end = self.tensor.numel() * self.size
        wrong = bits[(bits < 0) | (bits >= end)]
        if wrong.numel():
            raise SiteError(
                f"bits: places must be in [0, {end - 1}]; received {int(wrong.view(-1)[0])}"
            )
        found, times = torch.unique(bits, return_counts=True)
        if found.numel() < bits.numel():
            raise SiteError(f"bits: place {int(found[times > 1][0])} is in more than one code")
        object.__setattr__(self, "bits", bits)

    @property
    def words(self) -> int:
        return int(self.bits.shape[0])

    def places(self, index: torch.Tensor, bit: int) -> torch.Tensor:
        found: torch.Tensor = self.bits.to(index.device)[index, bit]
        return found


@dataclass(frozen=True, eq=False)
class RegularBits(BitStore):
    """Whole elements filled with codes, these one after another along ``axis``: the code of rank
    k in an element begins at bit ``order[k] * width``. No map is kept."""

    axis: int = -1
    order: Sequence[int] = field(default=())

    @property
    def words(self) -> int:
        return self.tensor.numel() * len(self.order)

    def places(self, index: torch.Tensor, bit: int) -> torch.Tensor:
        shape, axis, ranks = self.tensor.shape, self.axis % self.tensor.dim(), len(self.order)
        inner = 1
        for length in shape[axis + 1 :]:
            inner *= length
        row = torch.div(index, inner, rounding_mode="floor")  # along axis and those before it
        packed = torch.div(row, ranks, rounding_mode="floor")
        order = torch.tensor(self.order, device=index.device)
        element = packed * inner + (index - row * inner)
        return element * self.size + order[row - packed * ranks] * self.width + bit


def packed(
    tensor: torch.Tensor,
    width: int,
    signed: bool = False,
    axis: int = -1,
    order: Sequence[int] = (),
) -> RegularBits:
    """As many codes of ``width`` bits in each element as it holds, unpacked along ``axis``.

    ``order[k]`` is the slot of the k-th code of an element, slot 0 the lowest bits; as they come
    if not given. Raises SiteError for an axis or an order that is none.
    """
    _check_width(width)
    slots = _SIZES.get(tensor.dtype, 0) // width
    chosen = tuple(order) or tuple(range(slots))
    if tensor.dtype in _SIZES and sorted(chosen) != list(range(slots)):
        raise SiteError(
            f"order: must have each of 0 ... {slots - 1} once ({tensor.dtype} holds {slots} codes "
            f"of {width} bits); received {list(chosen)}"
        )
    dims, whole = tensor.dim(), isinstance(axis, numbers.Integral) and not isinstance(axis, bool)
    if not whole or not -dims <= axis < dims:
        raise SiteError(
            f"axis: tensor has {dims} dimensions, so it must be an integer in -{dims} ... "
            f"{dims - 1}; received {axis!r}"
        )
    return RegularBits(tensor, width, signed, axis, chosen)


def nibbles(tensor: torch.Tensor, low_first: bool = True, signed: bool = False) -> RegularBits:
    """Codes of 4 bits side by side along the last axis, as uint8 holds two."""
    slots = _SIZES.get(tensor.dtype, 0) // 4
    order = range(slots) if low_first else range(slots - 1, -1, -1)
    return packed(tensor, 4, signed, -1, tuple(order))
