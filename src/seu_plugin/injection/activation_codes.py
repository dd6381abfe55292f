"""Activations under exposure: the codes that ``quan_a_fn`` gives, upset anew in every forward."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

import torch
from torch import nn

from ..errors import InjectionError, SiteError
from ..faults.fault_map import FaultMap
from ..faults.seeding import Stream, Streams
from ..faults.site_memory import SiteMemory
from ..memory.codecs import codec
from ..quantizers.sites import Site, checked_width
from .exposure import Quantize
from .forward_state import ForwardState
from .patch import Patch
from .placement import PlacedMap
from .reading import Reader
from .statistics import Counter, SiteStatistics


class ExposedActivations:
    """The activation codes of one layer. Unsigned where the quantizer's grid is
    (``all_positive``); remapped, signed ones lie in memory as ``encoding`` says."""

    def __init__(self, site: Site, state: ForwardState) -> None:
        quantizer = getattr(site.layer, "quan_a_fn", None)
        if not isinstance(quantizer, nn.Module):
            raise SiteError(
                f"targets: activations, but layer {site.name!r} has no quan_a_fn; exclude it"
            )
        self.name, self.layer, self.quantizer = f"{site.name}.activations", site.layer, quantizer
        self._state = state
        # As a site of the reader's, whose words are these.
        self._reader = Reader(Site(self.name, site.layer, quantizer), no_numbers=True)
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
        clean = quantize(*args, **kwargs)
        width = kwargs["bits"] if "bits" in kwargs else args[1] if len(args) > 1 else None
        if width is None or int(width) >= 32:  # not quantized: a float32 input image, say
            return clean
        state, training = self._state, self.layer.training
        if not state.exposes(training):
            return clean
        width = checked_width(self.name, width)
        draw = state.activation_draw(self.name, training)
        unsigned = bool(getattr(self.quantizer, "all_positive", False))
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
        values = self._reader.faulted(clean.detach(), placed, self._scale(width))
        faulted: torch.Tensor = Patch.apply(clean.clone(), placed, values)  # type: ignore[no-untyped-call]
        return faulted

    def _count(self, counts: Any) -> None:
        if isinstance(counts, torch.Tensor):  # waits; only of stuck cells and asymmetric rates
            upsets, words_hit = (int(n) for n in counts.tolist())
            counts = (upsets, upsets, words_hit, 0, 0)
        self.counter.add(*counts)

    def _scale(self, width: int) -> torch.Tensor:
        read: Any = getattr(self.quantizer, "get_scale", None)
        scale = read(width) if callable(read) else None
        if not isinstance(scale, torch.Tensor) or scale.numel() != 1:
            raise InjectionError(f"{self.name}: its quantizer has no single step size to read")
        return scale.detach()
