"""Trials given that something may be read wrong: rare upsets, without trials that show nothing.

The number of dangerous units comes first (:mod:`.population`), then which they are, then which of
their cells are struck; all from streams of the whole memory, so that for one (seed, trial) the
cells at a lower BER are struck at a higher one, too, where nothing is protected, as long as these
are less than a quarter. No torch.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..memory.layout import Ints
from .counts import upset_count
from .fault_map import distinct
from .population import Kind, Population, Struck, count_words
from .seeding import Stream, Streams, mixed
from .site_memory import ReadMap, SiteMemory
from .units import Cells, Region, factor, read, regions

#: From this share of a kind's units on, all of them are ranked in place of drawing distinct ones.
RANK_FROM = 0.25
#: Units whose cells are looked at at once.
_AT_ONCE = 1 << 16


class ConditionalDraw(NamedTuple):
    """``maps``: what is read of each site; ``struck``: of each kind."""

    maps: Dict[str, ReadMap]
    struck: Tuple[Struck, ...]


class ConditionalMemory:
    """The memories of all sites of a model, as one."""

    def __init__(self, memories: Sequence[SiteMemory], seed: int) -> None:
        self._seed = seed
        self._sites = sorted(memories, key=lambda memory: memory.name)
        self._regions: Dict[Tuple[int, int], List[Tuple[str, Region]]] = {}
        for memory in self._sites:
            for region in regions(memory):
                kind = region.kind
                self._regions.setdefault((kind.cells, kind.least), []).append((memory.name, region))
        self._order = sorted(self._regions)
        kinds = tuple(
            Kind(sum(region.kind.units for _, region in self._regions[key]), *key)
            for key in self._order
        )
        self.population = Population(kinds, factor(self._sites[0]) if self._sites else 1.0)

    def draw(self, ber: float, trial: int) -> ConditionalDraw:
        """One trial. O(cells struck), but for BERs at which a good part of all are. Needs a
        probability above 0 that a unit is dangerous."""
        cells = {memory.name: Cells() for memory in self._sites}
        kinds, rate = self.population.kinds, self.population.rate(ber)
        counts = self.population.counts(ber, count_words(self._seed, trial, len(kinds)))
        struck = []
        for key, kind, count in zip(self._order, kinds, counts):
            name = f"{key[0]} cells, {key[1]} or more struck"
            units = _chosen(Stream(self._seed, f"units of {name}", trial), count, kind.units)
            choice = Stream(self._seed, f"cells of units of {name}", trial).word()
            unit, cell = _struck_cells(units, kind, rate, choice)
            struck.append(Struck(int(units.size), int(unit.size)))
            self._put(key, unit, cell, cells)
        maps = {
            memory.name: read(memory, cells[memory.name], Streams(self._seed, memory.name, trial))
            for memory in self._sites
        }
        return ConditionalDraw(maps, tuple(struck))

    def _put(self, key: Tuple[int, int], unit: Ints, cell: Ints, cells: Dict[str, Cells]) -> None:
        start = 0
        for name, region in self._regions[key]:
            end = start + region.kind.units
            first, last = np.searchsorted(unit, (start, end))
            if first < last:
                region.put(unit[first:last] - start, cell[first:last], cells[name])
            start = end


def _chosen(stream: Stream, count: int, units: int) -> Ints:
    """``count`` distinct ones of ``units``, ascending; fewer are a subset of more, unless they are
    so many that all are ranked."""
    if count >= RANK_FROM * units:
        order = np.argsort(mixed(stream.word(), np.arange(units)), kind="stable")
        return np.sort(order[:count])
    found = np.zeros(0, dtype=np.int64)
    while found.size < count:
        more = stream.many_positions(count - found.size, units)
        found = distinct(np.concatenate((found, more)))
    return found


def _struck_cells(units: Ints, kind: Kind, rate: float, choice: int) -> Tuple[Ints, Ints]:
    """Unit and cell of each struck cell of these units, by unit: in each a number from the binomial
    law given that it is ``kind.least`` or more, all sets of them alike likely."""
    if kind.cells == 1:
        return units, np.zeros(units.size, dtype=np.int64)
    found = [
        _some_cells(units[i : i + _AT_ONCE], kind, rate, choice)
        for i in range(0, units.size, _AT_ONCE)
    ]
    nothing = np.zeros(0, dtype=np.int64)
    return (
        np.concatenate([nothing, *(unit for unit, _ in found)]),
        np.concatenate([nothing, *(cell for _, cell in found)]),
    )


def _some_cells(units: Ints, kind: Kind, rate: float, choice: int) -> Tuple[Ints, Ints]:
    words = mixed(choice, units)
    counts = np.array(
        [upset_count(word, kind.cells, rate, kind.least) for word in words.tolist()], dtype=np.int64
    )
    # The cells of a unit in a random order: the first ones are struck.
    numbers = units[:, None] * kind.cells + np.arange(kind.cells)
    ranks = np.argsort(np.argsort(mixed(choice ^ _OTHER, numbers.ravel()).reshape(numbers.shape)))
    unit, cell = np.nonzero(ranks < counts[:, None])
    return units[unit], cell


#: Tells the keys of counts and of orders apart.
_OTHER = 0x5DEECE66D1CE4E5B
