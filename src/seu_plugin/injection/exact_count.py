"""A given number of upsets anywhere in the selected sites together. No torch."""

from __future__ import annotations

import threading
from typing import Dict, Optional, Protocol, Sequence, Tuple

from ..errors import InjectionError
from ..faults.fault_map import FaultMap, empty_fault_map
from ..faults.placing import Memory, place
from ..fields import selected_bits
from ..settings.injection import InjectionSettings

#: Names the stream: a stratum of the whole memory.
_WHERE = "stratum *#*"


class Sized(Protocol):
    """What is asked of a site."""

    @property
    def name(self) -> str: ...
    @property
    def words(self) -> int: ...
    @property
    def width(self) -> Optional[int]: ...


class ExactCount:
    """``settings.upsets`` distinct bits, all sets of them alike likely, for each map.

    The fault map of a site depends on the sizes of the others. For one (seed, trial), fewer upsets
    are a subset of more.
    """

    def __init__(self, sites: Sequence[Sized], seed: int) -> None:
        self._sites, self._seed = sites, seed
        self._key: object = None
        self._lock = threading.Lock()
        self._maps: Dict[str, FaultMap] = {}

    def draw(self, name: str, width: int, settings: InjectionSettings, draw: int) -> FaultMap:
        """The upsets of one site. Raises InjectionError unless every site has one width, and
        SiteError if there are fewer bits than upsets."""
        memory: Dict[str, Tuple[int, Sequence[int]]] = {}
        for site in self._sites:
            now = site.width
            if now is None or (site.name == name and now != width):
                raise InjectionError(
                    f"mode exact_count: site {site.name!r} has no single width while the model "
                    "runs, so its share of the upsets is not known"
                )
            mask = selected_bits(settings.bits, now)
            memory[site.name] = site.words, [b for b in range(now) if mask >> b & 1]
        key = (settings.trial, draw, settings.upsets, str(memory))
        with self._lock:
            return self._drawn(name, memory, settings, key, draw)

    def _drawn(
        self, name: str, memory: Memory, settings: InjectionSettings, key: object, draw: int
    ) -> FaultMap:
        if key != self._key:
            at = (self._seed, settings.trial, draw)
            self._maps, self._key = place(memory, settings.upsets, _WHERE, *at), key
        return self._maps.get(name) or empty_fault_map()
