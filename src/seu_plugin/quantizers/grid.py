"""The grid that codes stand for: value = (code - zero point) * scale."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional, Sequence, Tuple

import torch

from ..errors import SiteError

#: How far a weight over its step size may be from an integer, in float32 and float64.
TOLERANCE = 0.01
#: Too coarse to allow for a tolerance: a code must give back the very weight.
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Grid:
    """Codes of ``width`` bits and what they stand for.

    ``scale`` and ``zero_point`` (None: 0) have one element, or as many dimensions as the weight,
    each of its size or of 1: the axis is explicit. ``narrow``: clean codes leave out the lowest.
    """

    width: int
    signed: bool
    scale: torch.Tensor
    zero_point: Optional[torch.Tensor] = None
    narrow: bool = False

    @property
    def lowest(self) -> int:
        """The lowest code of a clean weight."""
        return (-(1 << (self.width - 1)) if self.signed else 0) + self.narrow

    @property
    def highest(self) -> int:
        """The highest code."""
        return (1 << (self.width - self.signed)) - 1

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Grid:
        """The grid with ``change`` made to scale and zero point: moved, or of some words alone."""
        zero = None if self.zero_point is None else change(self.zero_point)
        return replace(self, scale=change(self.scale), zero_point=zero)

    def steps(self, values: torch.Tensor) -> torch.Tensor:
        """``values`` over the step size; in float32 at least."""
        return (values.float() if values.dtype in HALF else values) / self.scale

    def nearest(self, steps: torch.Tensor, bounds: Tuple[int, int]) -> torch.Tensor:
        """The codes within ``bounds`` that are nearest to ``steps``, int32."""
        near = steps.round()
        if self.zero_point is not None:
            near += self.zero_point.to(near.dtype)
        return near.clamp_(*bounds).to(torch.int32)

    def from_zero(self, codes: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """``codes`` less the zero point, as numbers of ``dtype``."""
        number = codes.to(dtype)
        return number if self.zero_point is None else number - self.zero_point.to(dtype)

    def codes(self, values: torch.Tensor) -> torch.Tensor:
        """The codes of a clean weight, int32: the nearest to each of ``values``."""
        return self.nearest(self.steps(values), (self.lowest, self.highest))

    def values(self, codes: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """What integer ``codes`` stand for; the dtype of ``like``, computed as :meth:`steps`."""
        wide = like.float() if like.dtype in HALF else like
        number = self.from_zero(codes, torch.result_type(wide, self.scale))
        return (number * self.scale).to(like.dtype)

    def holds(self, values: torch.Tensor) -> torch.Tensor:
        """Whether each of ``values`` lies on the grid."""
        codes, steps = self.codes(values), self.steps(values)
        if values.dtype in HALF:
            return self.values(codes, values) == values
        return (steps - self.from_zero(codes, steps.dtype)).abs() <= TOLERANCE


def per_channel(values: Any, axis: int, dims: int) -> torch.Tensor:
    """A list of numbers, one for each channel, shaped so that it lies along ``axis`` of a weight
    of ``dims`` dimensions; a single number as it is."""
    found = torch.as_tensor(values).detach()
    if found.numel() == 1:
        return found.reshape(())
    shape = [1] * dims
    shape[axis] = found.numel()
    return found.reshape(shape)


def check_axis(name: str, scale: torch.Tensor, shape: Sequence[int]) -> None:
    """Raise SiteError for a step size that is neither one number nor along axes of a weight."""
    fits = scale.dim() == len(shape) and all(n in (1, m) for n, m in zip(scale.shape, shape))
    if scale.numel() != 1 and not fits:
        raise SiteError(
            f"site {name!r}: step size of shape {tuple(scale.shape)} is neither per "
            f"tensor nor per channel of a weight {tuple(shape)}"
        )


def check_numbers(name: str, grid: Grid) -> None:
    """Raise SiteError for a step size that is 0 or no number, or a zero point that is not
    whole. Waits for a GPU."""
    if not bool((torch.isfinite(grid.scale) & (grid.scale != 0)).all()):
        raise SiteError(f"site {name!r}: its step size at {grid.width} bits is 0 or no number")
    zero = grid.zero_point
    if zero is not None and zero.is_floating_point() and not bool((zero == zero.round()).all()):
        raise SiteError(f"site {name!r}: its zero point at {grid.width} bits is no whole number")


def check_holds(name: str, grid: Grid, clean: torch.Tensor) -> None:
    """Raise SiteError if ``clean``, a quantized weight, does not lie on ``grid``."""
    off = int((~grid.holds(clean)).sum())
    if off:
        sign = "signed" if grid.signed else "unsigned"
        raise SiteError(
            f"site {name!r}: {off:,} of {clean.numel():,} words of its clean weight are not on "
            f"the grid of its adapter ({sign} codes {grid.lowest} ... {grid.highest}, {grid.width} "
            "bits)"
        )


def width_of_range(name: str, lowest: int, highest: int) -> int:
    """The width in bits of codes ``lowest`` ... ``highest``. Raises SiteError unless they are all
    those of a width, or all but the lowest."""
    signed = lowest < 0
    width, narrow = highest.bit_length() + signed, signed and lowest == -highest
    grid = Grid(width, signed, torch.ones(()), narrow=narrow)
    if not 1 <= width <= 16 or (grid.lowest, grid.highest) != (lowest, highest):
        raise SiteError(
            f"layer {name!r}: its codes {lowest} ... {highest} must be all those of a width of 1 "
            "to 16 bits, or all but the lowest"
        )
    return width


def checked_width(name: str, width: Any) -> int:
    """``width`` as an integer. Raises SiteError for what is none (a fraction, a text), or for a
    width that is no quantized memory."""
    whole = width
    if isinstance(width, torch.Tensor) and width.numel() == 1 and not width.is_floating_point():
        whole = width.item()
    if isinstance(whole, bool) or not isinstance(whole, numbers.Integral):
        raise SiteError(f"layer {name!r} runs at width {width!r}, which is not an integer")
    whole = int(whole)
    if not 1 <= whole <= 16:
        raise SiteError(
            f"layer {name!r} runs at width {whole}: quantized memory has widths 1 to 16"
        )
    return whole
