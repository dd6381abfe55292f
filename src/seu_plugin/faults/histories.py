"""The memory of a mission at given times: upsets that arrive one by one, until a scrub. No torch.

Each cell is upset by a Poisson process of its own, from each scrub on anew: increments are
independent, so that a cell may be upset twice, and a memory may recover by chance. Upsets of one
mission are a pure function of (seed, mission, period): looking more often changes none of them.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ..memory.layout import Ints
from .counts import upset_count
from .itinerary import Floats, Itinerary
from .mechanisms import Asymmetric
from .population import Kind
from .seeding import Streams
from .site_memory import ReadMap, SiteMemory
from .units import Cells, Events, Region, factor, read, read_directed, regions

#: Slots of a period in which a cell is upset once at most: a Poisson number but for two upsets of
#: one cell in one slot, of which a share of 2**-21 of its exposure are.
_SLOTS = 20
#: Upsets of a period that are held at once.
MOST_UPSETS = 200_000_000


class _Upsets(NamedTuple):
    """Upsets of a region's cells: where, when, and their numbers within a mission."""

    cell: Ints
    time: Floats
    number: Ints

    def where(self, chosen: npt.NDArray[np.bool_]) -> _Upsets:
        return _Upsets(self.cell[chosen], self.time[chosen], self.number[chosen])


class _Part(NamedTuple):
    """A region of a site's memory; ``first``: how many cells lie before it, in all sites."""

    memory: SiteMemory
    name: str
    region: Region
    first: int

    @property
    def cells(self) -> int:
        return self.region.kind.units * self.region.kind.cells


class _Look(NamedTuple):
    """When which mission is looked at, and at which end of the rate's interval."""

    number: int
    time: float
    rate: str


class Histories:
    """The memories of all sites of a model, in the order of their addresses, over missions.

    Raises ConfigError for a number of upsets that cannot be followed.
    """

    def __init__(self, memories: Sequence[SiteMemory], itinerary: Itinerary, seed: int) -> None:
        self.itinerary, self._seed = itinerary, seed
        self._parts: List[List[_Part]] = []
        self._cells = 0
        for memory in memories:
            self._parts.append([])
            for i, region in enumerate(regions(memory)):
                part = _Part(memory, f"region {i}", region, self._cells)
                self._parts[-1].append(part)
                self._cells += part.cells
        expected = self._cells * itinerary.most_exposure
        if expected > MOST_UPSETS:
            raise ConfigError(
                f"campaign.mission: its memory of {self._cells:,} cells meets {expected:.3g} "
                f"upsets in a period; allowed are {MOST_UPSETS:,}: scrub more often"
            )
        self._memories = memories

    def at(self, number: int, moment: int, rate: str = "") -> Dict[str, ReadMap]:
        """What is read of each site at the ``moment``-th time of mission ``number``."""
        look = _Look(number, float(self.itinerary.times(self._seed, number)[moment]), rate)
        return {
            memory.name: self._read(memory, parts, look)
            for memory, parts in zip(self._memories, self._parts)
        }

    def _read(self, memory: SiteMemory, parts: Sequence[_Part], look: _Look) -> ReadMap:
        model = memory.model
        if isinstance(model, Asymmetric):
            up, down = Cells(), Cells()
            for part in parts:
                ups = self._kept(part, f"0 to 1, {part.name}", model.rates.zero_to_one, look)
                downs = self._kept(part, f"1 to 0, {part.name}", model.rates.one_to_zero, look)
                for struck, into in zip(_last_ones(ups, downs), (up, down)):
                    _put(part.region, struck, into)
            return read_directed(memory, up, down)
        cells = Cells()
        for part in parts:
            upsets = self._kept(part, part.name, factor(memory), look)
            if isinstance(part.region, Events):
                cells.events[part.region.block.purpose] = upsets.cell
                cells.numbers[part.region.block.purpose] = upsets.number
            else:
                _put(part.region, _odd(upsets.cell), cells)
        return read(memory, cells, Streams(self._seed, memory.name, look.number))

    def _kept(self, part: _Part, purpose: str, often: float, look: _Look) -> _Upsets:
        """Upsets of a part up to the time of a look that no scrub and no read has mended.
        ``often``: of each cell, as a multiple of the rate."""
        it, kind, time = self.itinerary, part.region.kind, look.time
        period = int(time // it.period)
        several = [
            self._arrivals(part, purpose, often, look, one)
            for one in ((period - 1, period) if it.sweeping and period else (period,))
        ]
        found = _Upsets(*(np.concatenate(columns) for columns in zip(*several)))
        found = found.where(found.time <= time)
        if it.sweeping:
            address = (part.first + found.cell // kind.cells * kind.cells) / self._cells
            swept = (period + address) * it.period
            swept = np.where(swept <= time, swept, swept - it.period)
            found = found.where(found.time > swept)
        if it.read_every is not None:
            found = found.where(_not_corrected(found, kind, it.read_every, time))
        return found

    def _arrivals(
        self, part: _Part, purpose: str, often: float, look: _Look, period: int
    ) -> _Upsets:
        """All upsets of a part in a period. O(upsets)."""
        it, rate = self.itinerary, look.rate
        start, end = (it.exposure(rate, it.period * n) for n in (period, period + 1))
        stream = Streams(self._seed, part.memory.name, look.number, period).of(
            f"upsets of {purpose}{f' at the {rate} rate' if rate else ''}"
        )
        expected = (end - start) * often
        n = upset_count(stream.word(), part.cells << _SLOTS, expected * 2.0**-_SLOTS)
        cell = stream.many_positions(n, part.cells)
        exposure = start + stream.words(n).astype(np.float64) * 2.0**-64 * (end - start)
        return _Upsets(cell, it.time_of(rate, exposure), (period << 32) + np.arange(n))


def _put(region: Region, cell: Ints, into: Cells) -> None:
    region.put(*np.divmod(cell, region.kind.cells), into)


def _odd(cell: Ints) -> Ints:
    """Cells that were upset an odd number of times, ascending."""
    found, counts = np.unique(cell, return_counts=True)
    return np.asarray(found[counts % 2 == 1])


def _last_ones(up: _Upsets, down: _Upsets) -> Tuple[Ints, Ints]:
    """Cells whose last upset was to 1, and to 0: an upset leaves what is that already."""
    cell = np.concatenate((up.cell, down.cell))
    to_one = np.concatenate((np.ones(up.cell.size, bool), np.zeros(down.cell.size, bool)))
    order = np.lexsort((np.concatenate((up.time, down.time)), cell))
    cell, to_one = cell[order], to_one[order]
    last = np.ones(cell.size, dtype=np.bool_)
    np.not_equal(cell[1:], cell[:-1], out=last[:-1])
    return cell[last & to_one], cell[last & ~to_one]


def _not_corrected(upsets: _Upsets, kind: Kind, every: float, now: float) -> npt.NDArray[np.bool_]:
    """Which upsets are still there if at multiples of ``every`` each unit is read and, with fewer
    wrong cells than are dangerous, written anew. A unit with more stays as it is."""
    slot = np.floor(upsets.time / every).astype(np.int64)
    unit = upsets.cell // kind.cells
    keys = np.stack((unit, slot, upsets.cell), axis=1)
    found, counts = np.unique(keys, axis=0, return_counts=True)
    wrong = found[counts % 2 == 1][:, :2]
    units, several = np.unique(wrong, axis=0, return_counts=True)
    lasting = units[several >= kind.least]  # ascending by unit, then by slot
    which, place = np.unique(lasting[:, 0], return_index=True)
    current = int(now // every)
    kept = slot == current
    if which.size:
        at = np.minimum(np.searchsorted(which, unit), which.size - 1)
        kept |= (which[at] == unit) & (slot >= lasting[place, 1][at])
    return np.asarray(kept)
