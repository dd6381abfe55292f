"""The fault models: how upsets are distributed over cells, and what they do to them. No torch.

Those of single cells (:class:`Flips`, :class:`StuckAt`, :class:`Asymmetric`) strike each cell
independently; :class:`Clusters` strikes neighbours together. All are nested: for one (seed, trial)
the cells struck at a lower rate are struck at a higher one, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Dict, List, Literal, Mapping, Optional, Protocol, Tuple, Union

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from ..fields import Frozen, integer, number
from ..memory.layout import Array
from .cell_map import CellMap, Masks, together
from .drawn import Drawn
from .fault_map import FaultMap, draw_fault_map
from .seeding import Streams, mixed

MODES = ("ber", "stuck_at", "asymmetric", "mbu", "exact_count", "fault_list")
#: Those that place upsets, and draw none at a rate.
PLACED = ("exact_count", "fault_list")
MAX_CLUSTER = 64
Ints = npt.NDArray[np.int64]
Draws = Tuple[Drawn, ...]


class AsymmetricRates(Frozen):
    """How often a 0 and a 1 are upset, as multiples of ``ber``."""

    zero_to_one: float = Field(1.0, ge=0.0, description="rate of 0 -> 1, as a multiple of ber")
    one_to_zero: float = Field(1.0, ge=0.0, description="rate of 1 -> 0, as a multiple of ber")

    @field_validator("zero_to_one", "one_to_zero", mode="before")
    @classmethod
    def _number(cls, value: object) -> float:
        return number(value)

    @model_validator(mode="after")
    def _some(self) -> AsymmetricRates:
        if not self.zero_to_one and not self.one_to_zero:
            raise ValueError("zero_to_one and one_to_zero are both 0: nothing would be upset")
        return self


class ClusterSettings(Frozen):
    """What one particle does: multiple-bit upsets."""

    sizes: Mapping[int, float] = Field(
        min_length=1,
        description="probability of each number of neighbouring cells that one event upsets, for "
        "example {1: 0.8, 2: 0.15, 4: 0.05}; must add up to 1",
    )
    shape: Literal["row", "column", "block"] = Field(
        "row", description="row: cells along a row; column: across rows; block: nearly a square"
    )

    @field_validator("sizes", mode="before")
    @classmethod
    def _distribution(cls, value: object) -> Dict[int, float]:
        if not isinstance(value, Mapping) or not value:
            raise ValueError("must be a mapping of sizes to probabilities, for example {1: 1.0}")
        sizes = {}
        for size, share in value.items():
            if isinstance(size, str) and size.isdigit():  # from JSON
                size = int(size)
            size = integer(size)
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_CLUSTER:
                raise ValueError(f"must have sizes in 1 ... {MAX_CLUSTER}; one is {size!r}")
            sizes[size] = number(share)
            if not 0.0 <= sizes[size] <= 1.0:
                raise ValueError(f"must have probabilities in [0, 1]; that of {size} is {share!r}")
        if not math.isclose(sum(sizes.values()), 1.0, abs_tol=1e-9):
            raise ValueError(f"must add up to 1; the sum is {sum(sizes.values()):g}")
        return {size: sizes[size] for size in sorted(sizes) if sizes[size] > 0.0}

    @property
    def mean(self) -> float:
        return sum(size * share for size, share in self.sizes.items())


class CellModel(Protocol):
    """A fault model that strikes each cell independently of the others."""

    def draw(
        self, streams: Streams, purpose: str, words: int, width: int, ber: float
    ) -> Tuple[CellMap, Draws]:
        """What happens to ``words`` words of ``width`` <= 32 cells. O(cells struck)."""
        ...

    @property
    def factor(self) -> float:
        """The rate at which a cell is struck, in some direction, as a multiple of the BER."""
        ...

    def marked(self, struck: FaultMap, width: int, streams: Streams, purpose: str) -> CellMap:
        """What happens to given cells, each struck at that rate independently of the others."""
        ...


@dataclass(frozen=True)
class Flips:
    """``ber``: each cell changes its value with probability ``ber``. Stream v1."""

    factor = 1.0

    def draw(
        self, streams: Streams, purpose: str, words: int, width: int, ber: float
    ) -> Tuple[CellMap, Draws]:
        fault_map = draw_fault_map(streams.of(purpose), words, width, ber)
        what = f"upsets in {purpose}" if purpose else "upsets"
        return CellMap.of(fault_map), (Drawn(what, fault_map.upsets, words * width, ber),)

    def marked(self, struck: FaultMap, width: int, streams: Streams, purpose: str) -> CellMap:
        return CellMap.of(struck)


@dataclass(frozen=True)
class StuckAt:
    """``stuck_at``: each cell is stuck with probability ``ber``, at 0, at 1, or at either with
    probability 1/2. The cells are those that :class:`Flips` would upset."""

    value: Union[int, str]
    factor = 1.0

    def draw(
        self, streams: Streams, purpose: str, words: int, width: int, ber: float
    ) -> Tuple[CellMap, Draws]:
        found = draw_fault_map(streams.of(purpose), words, width, ber)
        what = f"stuck cells in {purpose}" if purpose else "stuck cells"
        drawn = Drawn(what, found.upsets, words * width, ber)
        return self.marked(found, width, streams, purpose), (drawn,)

    def marked(self, struck: FaultMap, width: int, streams: Streams, purpose: str) -> CellMap:
        if self.value == "random":
            key = streams.of(f"stuck values of {purpose}" if purpose else "stuck values").word()
            ones = _below(0.5, key, struck, width)
        else:
            ones = np.full(struck.index.size, -int(self.value), dtype=np.int32)
        return CellMap(struck.index, struck.mask & ones, struck.mask & ~ones)


@dataclass(frozen=True)
class Asymmetric:
    """``asymmetric``: a cell that holds 0 changes with probability ``zero_to_one * ber``, one that
    holds 1 with ``one_to_zero * ber``. Two independent maps, one for each direction."""

    rates: AsymmetricRates

    def draw(
        self, streams: Streams, purpose: str, words: int, width: int, ber: float
    ) -> Tuple[CellMap, Draws]:
        maps, drawn = [], []
        for what, factor in (
            ("0 to 1", self.rates.zero_to_one),
            ("1 to 0", self.rates.one_to_zero),
        ):
            stream = streams.of(f"{what} in {purpose}" if purpose else what)
            found = draw_fault_map(stream, words, width, ber * factor)
            maps.append(found)
            name = f"cells open to {what}"
            drawn.append(Drawn(name, found.upsets, words * width, ber * factor))
        up, down = maps
        nothing = np.zeros_like
        struck = together(
            CellMap(up.index, up.mask, nothing(up.mask)),
            CellMap(down.index, nothing(down.mask), down.mask),
        )
        return struck, tuple(drawn)

    @property
    def factor(self) -> float:
        return max(self.rates.zero_to_one, self.rates.one_to_zero)

    def marked(self, struck: FaultMap, width: int, streams: Streams, purpose: str) -> CellMap:
        """Both directions at the higher of their rates; of the other, a share of the cells."""
        key = streams.of(f"directions in {purpose}" if purpose else "directions").word()
        up, down = (
            _below(rate / self.factor, key, struck, width)
            for rate in (self.rates.zero_to_one, self.rates.one_to_zero)
        )
        hit = np.flatnonzero(struck.mask & (up | down))
        return CellMap(struck.index[hit], (struck.mask & up)[hit], (struck.mask & down)[hit])


@dataclass(frozen=True)
class Clusters:
    """``mbu``: events that each upset a cluster of neighbouring cells.

    Every cell is the first of an event with probability ``ber`` / mean size, independently, so
    that ``ber`` stays the expected number of upsets a bit. Rows and columns are periodic: rates
    and sizes are the same at the edges. A cell that two events strike has its old value again.
    """

    settings: ClusterSettings

    def event_rate(self, ber: float) -> float:
        """Events for each cell."""
        return ber / self.settings.mean

    def draw(
        self, streams: Streams, purpose: str, array: Array, ber: float
    ) -> Tuple[Ints, Ints, Draws]:
        """Memory words and bits that flip, one for each upset. O(events)."""
        rate, cells = self.event_rate(ber), self.cells(array)
        stream = streams.of(f"clusters in {purpose}" if purpose else "clusters")
        events = draw_fault_map(stream, cells, 1, rate)
        what = f"events in {purpose}" if purpose else "events"
        word, bit = self.upset(events.index, streams, purpose, array)
        return word, bit, (Drawn(what, events.upsets, cells, rate),)

    def cells(self, array: Array) -> int:
        """Cells that an event may begin at."""
        return self._rows(array) * array.row_cells

    def _rows(self, array: Array) -> int:
        # A site of fewer rows than a cluster has: the cells beyond hold nothing of it.
        height = max(down for size in self.settings.sizes for down, _ in self._offsets(size)) + 1
        return max(array.rows, height)

    def upset(
        self,
        events: Ints,
        streams: Streams,
        purpose: str,
        array: Array,
        numbers: Optional[Ints] = None,
    ) -> Tuple[Ints, Ints]:
        """Memory words and bits that flip under events that begin at these cells, distinct ones
        unless the events have ``numbers``."""
        array_rows = self._rows(array)
        key = streams.of(f"cluster sizes in {purpose}" if purpose else "cluster sizes").word()
        sizes = self._sizes(mixed(key, events if numbers is None else numbers))
        row, column = np.divmod(events, array.row_cells)
        rows: List[Ints] = []
        columns: List[Ints] = []
        for size in self.settings.sizes:
            chosen = np.flatnonzero(sizes == size)
            for down, right in self._offsets(size):
                rows.append((row[chosen] + down) % array_rows)
                columns.append((column[chosen] + right) % array.row_cells)
        word, bit = array.find(np.concatenate(rows), np.concatenate(columns))
        real = word >= 0
        return word[real], bit[real]

    def _sizes(self, words: npt.NDArray[np.uint64]) -> Ints:
        """The size for each random 64-bit word: the inverse of the distribution function."""
        sizes = np.array(list(self.settings.sizes), dtype=np.int64)
        shares = [Fraction(share) for share in self.settings.sizes.values()]
        limits = [int(total * (1 << 64) / sum(shares)) for total in accumulate(shares[:-1])]
        found: Ints = sizes[np.searchsorted(np.array(limits, dtype=np.uint64), words, side="right")]
        return found

    def _offsets(self, size: int) -> List[Tuple[int, int]]:
        if self.settings.shape == "row":
            return [(0, i) for i in range(size)]
        if self.settings.shape == "column":
            return [(i, 0) for i in range(size)]
        side = math.isqrt(size - 1) + 1
        return [divmod(i, side) for i in range(size)]


def _below(share: float, key: int, struck: FaultMap, width: int) -> Masks:
    """For each word of ``struck``, the bits whose random number is below ``share``."""
    limit = int(share * (1 << 64))
    if limit >= 1 << 64:
        return np.full(struck.index.size, -1, dtype=np.int32)
    masks = np.zeros(struck.index.size, dtype=np.int32)
    for bit in range(width):
        below = ~mixed(key, struck.index * width + bit) < np.uint64(limit)
        masks |= below.astype(np.int32) << np.int32(bit)
    return masks


def too_large(settings: ClusterSettings, array: Array) -> bool:
    """Whether a cluster would meet itself around the ends of a row of ``array``."""
    offsets = Clusters(settings)._offsets(max(settings.sizes))
    return max(right for _, right in offsets) >= array.row_cells
