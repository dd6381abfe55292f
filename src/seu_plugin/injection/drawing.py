"""Drawing the fault maps of one site, if worth it on another thread before they are needed."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Dict, Optional, Tuple

import torch

from ..faults.counts import upset_count
from ..faults.fault_map import BITS_LIMIT, FaultMap
from ..faults.seeding import Stream, Streams, site_key
from ..faults.site_memory import Given, ReadMap, SiteMemory
from ..fields import selected_bits
from ..settings.injection import InjectionSettings
from . import kernels
from .exact_count import ExactCount

#: Expected upsets from which handing a map to another thread costs less than drawing it.
AHEAD_FROM = 16384
#: BER from which a GPU draws its maps itself: drawing them here would hold it up.
DEVICE_FROM = 1e-3
DEVICE_UPSETS = 2048
#: What the masks of the kernels hold.
DEVICE_WIDTH = 16
_THREADS = 2


class MapDrawer:
    """The fault maps of a site: pure functions of width and exposure draw."""

    def __init__(
        self,
        site: str,
        words: int,
        settings: InjectionSettings,
        seed: int,
        exact: Optional[ExactCount] = None,
    ) -> None:
        self.words = words
        self._exact = exact
        self._site, self._seed = site, seed
        self._settings = settings
        self._stream = Stream(seed, site)
        self._given: Optional[Given] = None
        self._ahead: Optional[Tuple[Tuple[int, int], Future[ReadMap]]] = None
        self._memories: Dict[int, SiteMemory] = {}

    def start_trial(self, settings: InjectionSettings, given: Optional[Given] = None) -> None:
        """Draw for these settings from now on; or not at all: ``given`` is the map."""
        self.wait()
        self._settings, self._given = settings, given
        self._memories = {}

    @property
    def placed(self) -> bool:
        """Whether upsets are placed in data bits, not drawn at a rate."""
        return isinstance(self._given, FaultMap) or self._exact is not None

    def memory(self, width: int) -> SiteMemory:
        """The memory of the site at ``width``. Raises ConfigError if it does not fit."""
        if width not in self._memories:
            self._memories[width] = SiteMemory(self._site, self.words, width, self._settings)
        return self._memories[width]

    def worth_drawing_ahead(self, width: int) -> bool:
        settings = self._settings
        if self._given is not None or settings.mode == "exact_count":
            return False
        return self.words * width * settings.ber >= AHEAD_FROM

    def draw_ahead(self, width: int, draw: int) -> None:
        """Begin to draw in the background what :meth:`draw` is expected to be asked for."""
        key = (width, draw)
        if self._ahead is None or self._ahead[0] != key:
            self.wait()  # the stream is in use until then
            self._ahead = (key, _pool().submit(self._draw, width, draw))

    def draw(self, width: int, draw: int) -> ReadMap:
        """What is read under the map of this width and exposure draw."""
        if isinstance(self._given, ReadMap):
            return self._given
        if self._given is not None:
            self._given.check_fits(self._site, self.words, width)
            return self.memory(width).read(self._given)
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

    def draws_on(self, device: torch.device, width: int) -> bool:
        """Whether a map of this width is drawn by the device that holds the weight."""
        ber = self._settings.ber
        return (
            device.type == "cuda"
            and self._given is None
            and self._settings.mode == "ber"
            and self.memory(width).rule is None
            and width <= DEVICE_WIDTH
            and DEVICE_FROM <= ber < 1.0
            and self.words * width * ber >= DEVICE_UPSETS
            and self.words * width < BITS_LIMIT
            and kernels.available()
        )

    def draw_on(self, device: torch.device, width: int, draw: int) -> torch.Tensor:
        """As :meth:`draw`, by the device, as one mask for each word: int32 of shape [words]."""
        from .kernels.masks import draw_masks

        self.wait()
        settings, bits = self._settings, self.words * width
        n = upset_count(self._stream.restart(settings.trial, draw).word(), bits, settings.ber)
        key = (self._seed, site_key(self._site), settings.trial, draw)
        masks = draw_masks(n, self.words, width, device, *key)
        selected = selected_bits(settings.bits, width)
        return masks if selected == (1 << width) - 1 else masks & selected

    def _draw(self, width: int, draw: int) -> ReadMap:
        settings, memory = self._settings, self.memory(width)
        if self._exact is not None:
            return memory.read(self._exact.draw(self._site, width, settings, draw))
        streams = Streams(self._seed, self._site, settings.trial, draw)
        return memory.draw(settings.ber, self._stream.restart(settings.trial, draw), streams)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="seu-draw")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: a child makes its own
    os.register_at_fork(after_in_child=_pool.cache_clear)
