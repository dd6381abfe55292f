"""Activations under exposure: the codes that a layer's quantizer of its input gives, upset anew in
every forward."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

import torch

from ..faults.fault_map import FaultMap
from ..faults.seeding import Stream, Streams
from ..faults.site_memory import SiteMemory
from ..memory.codecs import codec
from ..quantizers.contract import Site
from .exposure import Quantize
from .forward_state import ForwardState
from .patch import Patch
from .placement import PlacedMap
from .reading import Reader
from .statistics import Counter, SiteStatistics


class ExposedActivations:
    """The activation codes of one layer. Unsigned where the quantizer's grid is
    (``signed``); remapped, signed ones lie in memory as ``encoding`` says."""

    def __init__(self, site: Site, state: ForwardState) -> None:
        self._quantized, self.layer = site.activations(), site.layer
        self.name, self._state = self._quantized.name, state
        self._reader = Reader(self._quantized, no_numbers=True)
        self.start_trial()

    def start_trial(self) -> None:
        self.counter = Counter(self.name)

    def statistics(self) -> SiteStatistics:
        settings = self._state.settings
        return self.counter.frozen(settings.ber, settings.mode)

    def check(self) -> None:
        self._reader.check()

    def output(
        self, quantize: Quantize, args: Tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> torch.Tensor:
        """What the layer's own call gives under a fault map of this forward."""
        clean: torch.Tensor = quantize(*args, **kwargs)
        width = self._quantized.width_of(args, kwargs)
        if width is None:  # not quantized: a float32 input image, say
            return clean
        state, training = self._state, self.layer.training
        if not state.exposes(training):
            return clean
        draw = state.activation_draw(self.name, training)
        unsigned = not self._quantized.signed
        plain = state.settings.model_copy(
            update={"protection": (), **({"encoding": "unsigned"} if unsigned else {})}
        )
        memory = SiteMemory(self.name, int(clean.numel()), width, plain)
        at = (state.seed, self.name, plain.trial, draw)
        found = memory.draw(plain.ber, Stream(*at), Streams(*at))
        counter = self.counter
        counter.maps += 1
        counter.forwards += 1
        counter.words += memory.codes
        counter.bits += memory.codes * bin(memory.exposed).count("1")
        counter.widths[width] = None
        counter.note(found.drawn)
        if isinstance(found.map, FaultMap):
            counter.add(found.map.upsets, found.map.upsets, len(found.map.index), 0, 0)
        if found.harmless:
            return clean
        placed = PlacedMap(found.map, codec(plain.encoding), width, clean.device, None, self._count)
        values = self._reader.faulted(clean.detach(), placed, self._quantized.grid(width))
        faulted: torch.Tensor = Patch.apply(clean.clone(), placed, values)  # type: ignore[no-untyped-call]
        return faulted

    def _count(self, counts: Any) -> None:
        if isinstance(counts, torch.Tensor):  # waits; only of stuck cells and asymmetric rates
            upsets, words_hit = (int(n) for n in counts.tolist())
            counts = (upsets, upsets, words_hit, 0, 0)
        self.counter.add(*counts)
