"""The fault maps of one site: which one holds now, where it lies, and what it counts."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple, Union

import torch

from ..errors import InjectionError
from ..faults.fault_list import Fault, faults_of
from ..faults.fault_map import MAX_WIDTH, FaultMap
from ..faults.site_memory import Given, ReadMap
from ..memory.codecs import IEEE754
from ..quantizers.contract import Site
from .drawing import MapDrawer
from .exact_count import ExactCount
from .forward_state import ForwardState
from .placement import PlacedMap, PlacedMasks, counted
from .reading import Reader
from .statistics import Counter, SiteStatistics
from .word_reading import WordReader


class SiteMaps:
    """What is drawn for a site, and the statistics of that."""

    def __init__(
        self, site: Site, state: ForwardState, exact: Optional[ExactCount], adapter: str
    ) -> None:
        self.site, self._state, self._adapter = site, state, adapter
        self._codec = IEEE754 if site.floats else state.codec
        self.reader = WordReader(site, self._strange) if site.floats else Reader(site)
        self._drawer = MapDrawer(site.name, site.words, state.settings, state.seed, exact)
        self.start_trial()

    def start_trial(self, given: Optional[Given] = None) -> None:
        """Statistics start at zero and fault maps are those of the settings that hold now, or
        ``given``."""
        self.counter = Counter(self.site.name, self._adapter)
        self._counts: Optional[torch.Tensor] = None  # upsets and words hit, still on a GPU
        self._no_numbers: Optional[torch.Tensor] = None  # words read as NaN or Inf, there
        self._drawer.start_trial(self._state.settings, given)
        self._forget()

    def forget(self) -> None:
        """Let go of fault maps."""
        self._drawer.wait()
        self._forget()

    def _forget(self) -> None:
        self._draw: Optional[int] = None
        self._maps: Dict[Tuple[int, torch.device], Optional[PlacedMap]] = {}

    def static(self, width: int) -> ReadMap:
        """The site's static map at ``width``."""
        return self._drawer.draw(width, 0)

    def faults(self) -> List[Fault]:
        """Bits that are read wrong under the map that holds now."""
        name, widths = self.site.name, list(self.counter.widths)
        if not widths:
            return []
        if len(widths) > 1:
            raise InjectionError(f"site {name!r} was used at several widths: {widths}")
        if self._draw is None and not self._state.is_static(self.site.layer.training):
            raise InjectionError(f"site {name!r}: its maps are over; ask while enabled")
        found = self._drawer.draw(widths[0], self._draw or 0).map
        if not isinstance(found, FaultMap):
            clean, grid = self.site.clean(widths[0]), self.site.grid(widths[0])
            found = self.reader.wrong_bits(found, clean, grid, self._codec, widths[0])
        return faults_of(name, found)

    def is_hit(self, width: int) -> bool:
        """Whether a word is read wrong under the static map of this trial; True where it takes so
        long to draw that it should not be waited for."""
        known = self._draw == 0 and (width, self.site.weight.device) in self._maps
        if not known and self._drawer.worth_drawing_ahead(width):
            return True
        return self.current(width, 0) is not None

    def statistics(self) -> SiteStatistics:
        """What the counters say; waits for the device if that draws maps itself."""
        counts, self._counts = self._counts, None
        if counts is not None:
            upsets, words_hit = counts.tolist()
            self.counter.add(upsets, upsets, words_hit, 0, 0)
        strange, self._no_numbers = self._no_numbers, None
        if strange is not None:
            self.counter.nan_inf += int(strange)
        settings = self._state.settings
        return self.counter.frozen(settings.ber, settings.mode)

    def draw_ahead(self) -> None:
        """A forward of the model begins: draw its map in the background if it is a large one."""
        layer = self.site.layer
        worth = self._drawer.worth_drawing_ahead
        if not worth(MAX_WIDTH):  # too small at any width
            return
        if not self._state.exposes(layer.training):
            return
        width = self.site.width_if_set
        if width is None or not worth(width):
            return
        if self._drawer.draws_on(self.site.weight.device, width):
            return
        draw = self._state.expected_draw(layer.training)
        if draw != self._draw or (width, self.site.weight.device) not in self._maps:
            self._drawer.draw_ahead(width, draw)

    def current(self, width: int, draw: int) -> Optional[PlacedMap]:
        """The map of this exposure draw, which holds from now on; None if it has no upset."""
        if draw != self._draw:
            self._maps = {}
            self._draw = draw
        device = self.site.weight.device
        if (width, device) not in self._maps:
            self._maps[width, device] = self._place(width, draw, device)
            counter, memory = self.counter, self._drawer.memory(width)
            counter.maps += 1
            counter.words += self.site.words
            counter.bits += self.site.words * bin(memory.exposed).count("1")
            if not self._drawer.placed:  # of those, check bits and copies are spared
                counter.check_bits += memory.exposed_extra_bits
            counter.widths[width] = None
        return self._maps[width, device]

    def _place(self, width: int, draw: int, device: torch.device) -> Optional[PlacedMap]:
        codes_on = self._state.device
        if codes_on in (None, device) and self._drawer.draws_on(device, width):
            masks = self._drawer.draw_on(device, width, draw)
            self._count(counted(masks, width))
            return PlacedMasks(masks, self._codec, width)
        found = self._drawer.draw(width, draw)
        self.counter.note(found.drawn)
        if isinstance(found.map, FaultMap):
            assert found.upsets is not None
            self._count(
                (
                    found.upsets,
                    found.map.upsets,
                    len(found.map.index),
                    found.corrected,
                    found.detected,
                )
            )
        if found.harmless:
            return None
        return PlacedMap(found.map, self._codec, width, device, codes_on, self._count)

    def _count(self, counts: Union[Tuple[int, int, int, int, int], torch.Tensor]) -> None:
        if not isinstance(counts, torch.Tensor):
            self.counter.add(*counts)
        else:
            self._counts = counts if self._counts is None else self._counts + counts

    def _strange(self, words: torch.Tensor) -> None:
        """Of a map that was read for the first time: how many words are NaN or Inf."""
        if words.device.type == "cpu":
            self.counter.nan_inf += int(words)
        else:  # to be asked later
            before = self._no_numbers
            self._no_numbers = words if before is None else before + words
