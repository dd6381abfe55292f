"""Drawing the fault maps of one site, if worth it on another thread before they are needed."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Optional, Tuple

from .config import InjectionSettings
from .fault_map import FaultMap, draw_fault_map
from .seeding import Stream

#: Expected upsets from which handing a map to another thread costs less than drawing it.
AHEAD_FROM = 2048
_THREADS = 2


class MapDrawer:
    """The fault maps of a site: pure functions of width and exposure draw."""

    def __init__(self, site: str, words: int, settings: InjectionSettings, seed: int) -> None:
        self.words = words
        self._settings = settings
        self._stream = Stream(seed, site)
        self._ahead: Optional[Tuple[Tuple[int, int], Future[FaultMap]]] = None

    def worth_drawing_ahead(self, width: int) -> bool:
        return self.words * width * self._settings.ber >= AHEAD_FROM

    def draw_ahead(self, width: int, draw: int) -> None:
        """Begin to draw in the background what :meth:`draw` is expected to be asked for."""
        key = (width, draw)
        if self._ahead is None or self._ahead[0] != key:
            self.wait()  # the stream is in use until then
            self._ahead = (key, _pool().submit(self._draw, width, draw))

    def draw(self, width: int, draw: int) -> FaultMap:
        """The upsets in the selected bits of the map of this width and exposure draw."""
        key, self._ahead, ahead = (width, draw), None, self._ahead
        if ahead is not None:
            drawn = ahead[1].result()
            if ahead[0] == key:
                return drawn
        return self._draw(width, draw)

    def wait(self) -> None:
        """Forget what was drawn ahead, once the other thread is through with it."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead[1].exception()

    def _draw(self, width: int, draw: int) -> FaultMap:
        stream = self._stream.restart(self._settings.trial, draw)
        fault_map = draw_fault_map(stream, self.words, width, self._settings.ber)
        selected = selected_bits(self._settings.bits, width)
        if selected != (1 << width) - 1:
            fault_map = fault_map.restricted_to(selected)
        return fault_map


def selected_bits(bits: Any, width: int) -> int:
    """The exposed bit positions of a word as a mask."""
    if bits == "all":
        return (1 << width) - 1
    if bits == "msb":
        return 1 << (width - 1)
    if bits == "lsb":
        return 1
    return sum(1 << position for position in bits if position < width)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="seu-draw")
