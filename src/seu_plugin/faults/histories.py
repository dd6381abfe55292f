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
from .mechanisms import Asymmetric, Clusters
from .seeding import Streams
from .site_memory import ReadMap, SiteMemory
from .units import Cells, Events, Region, read, read_directed, regions

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


class Histories:
    """The memories of all sites of a model, in the order of their addresses, over missions.

    Raises ConfigError for a fault model or a number of upsets that cannot be followed.
    """

    def __init__(self, memories: Sequence[SiteMemory], itinerary: Itinerary, seed: int) -> None:
        self.itinerary, self._seed = itinerary, seed
        self._parts: List[Tuple[SiteMemory, List[Tuple[str, Region, int]]]] = []
        cells = 0
        for memory in memories:
            found = []
            for i, region in enumerate(regions(memory)):
                found.append((f"region {i}", region, cells))
                cells += region.kind.units * region.kind.cells
            self._parts.append((memory, found))
        self._cells = cells
        expected = cells * itinerary.most_exposure
        if expected > MOST_UPSETS:
            raise ConfigError(
                f"campaign.mission: its memory of {cells:,} cells meets {expected:.3g} upsets in a "
                f"period; allowed are {MOST_UPSETS:,}: scrub more often"
            )

    def at(self, number: int, moment: int, rate: str = "") -> Dict[str, ReadMap]:
        """What is read of each site at the ``moment``-th time of mission ``number``."""
        time = float(self.itinerary.times(self._seed, number)[moment])
        return {
            memory.name: self._read(memory, found, number, time, rate)
            for memory, found in self._parts
        }

    def _read(
        self,
        memory: SiteMemory,
        found: List[Tuple[str, Region, int]],
        number: int,
        time: float,
        rate: str,
    ) -> ReadMap:
        model = memory.model
        streams = Streams(self._seed, memory.name, number)
        if isinstance(model, Asymmetric):
            up, down = Cells(), Cells()
            for name, region, first in found:
                several = [
                    self._kept(memory, f"{what}, {name}", factor, region, first, number, time, rate)
                    for what, factor in (
                        ("0 to 1", model.rates.zero_to_one),
                        ("1 to 0", model.rates.one_to_zero),
                    )
                ]
                for struck, into in zip(_last_ones(*several), (up, down)):
                    _put(region, struck, into)
            return read_directed(memory, up, down)
        cells = Cells()
        for name, region, first in found:
            factor = model.event_rate(1.0) if isinstance(model, Clusters) else 1.0
            upsets = self._kept(memory, name, factor, region, first, number, time, rate)
            if isinstance(model, Clusters):
                assert isinstance(region, Events)
                cells.events[region.block.purpose] = upsets.cell
                cells.numbers[region.block.purpose] = upsets.number
            else:
                _put(region, _odd(upsets.cell), cells)
        return read(memory, cells, streams)

    def _kept(
        self,
        memory: SiteMemory,
        purpose: str,
        factor: float,
        region: Region,
        first: int,
        number: int,
        time: float,
        rate: str,
    ) -> _Upsets:
        """Upsets of a region up to ``time`` that no scrub and no read has mended."""
        it, kind = self.itinerary, region.kind
        period = int(time // it.period)
        several = []
        for one in (period - 1, period) if it.sweeping and period else (period,):
            streams = Streams(self._seed, memory.name, number, one)
            upsets = self._arrivals(streams, purpose, kind.units * kind.cells, factor, one, rate)
            several.append(upsets.where(upsets.time <= time))
        found = _Upsets(*(np.concatenate(columns) for columns in zip(*several)))
        if it.sweeping:
            address = (first + found.cell // kind.cells * kind.cells) / self._cells
            swept = (period + address) * it.period
            swept = np.where(swept <= time, swept, swept - it.period)
            found = found.where(found.time > swept)
        if it.read_every is not None:
            found = found.where(_not_corrected(found, kind.cells, kind.least, it.read_every, time))
        return found

    def _arrivals(
        self, streams: Streams, purpose: str, cells: int, factor: float, period: int, rate: str
    ) -> _Upsets:
        it = self.itinerary
        start, end = (it.exposure(rate, it.period * n) for n in (period, period + 1))
        stream = streams.of(f"upsets of {purpose}{f' at the {rate} rate' if rate else ''}")
        expected = (end - start) * factor
        n = upset_count(stream.word(), cells << _SLOTS, expected * 2.0**-_SLOTS)
        cell = stream.many_positions(n, cells)
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


def _not_corrected(
    upsets: _Upsets, cells: int, least: int, every: float, now: float
) -> npt.NDArray[np.bool_]:
    """Which upsets are still there if at multiples of ``every`` each unit is read and, with fewer
    than ``least`` wrong cells, written anew. A unit with more stays as it is."""
    slot = np.floor(upsets.time / every).astype(np.int64)
    unit = upsets.cell // cells
    order = np.lexsort((upsets.cell, slot, unit))
    keys = np.stack((unit[order], slot[order], upsets.cell[order]), axis=1)
    found, counts = np.unique(keys, axis=0, return_counts=True)
    wrong = found[counts % 2 == 1][:, :2]
    units, several = np.unique(wrong, axis=0, return_counts=True)
    lasting = units[several >= least]  # ascending by unit, then by slot
    which, place = np.unique(lasting[:, 0], return_index=True)
    current = int(now // every)
    kept = slot == current
    if which.size:
        at = np.minimum(np.searchsorted(which, unit), which.size - 1)
        kept |= (which[at] == unit) & (slot >= lasting[place, 1][at])
    return np.asarray(kept)
