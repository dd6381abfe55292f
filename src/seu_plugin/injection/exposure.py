"""One site under exposure: which fault map holds now, and putting it into the weight."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

import torch

from ..errors import InjectionError
from ..faults.fault_list import Fault, faults_of
from ..faults.fault_map import MAX_WIDTH, FaultMap
from ..faults.site_memory import Given, ReadMap
from ..quantizers.contract import Site
from ..quantizers.storage import check_memory_of_its_own
from .drawing import MapDrawer
from .exact_count import ExactCount
from .float_words import WeightStepSize
from .forward_state import ForwardState
from .patch import Patch
from .placement import PlacedMap, PlacedMasks, counted
from .reading import Reader, wrong_bits
from .statistics import Counter, SiteStatistics
from .weight_cache import WeightCache

Quantize = Callable[..., Any]


class ExposedSite:
    """A site, the fault maps it has seen, and how deep inside its layer the program is."""

    def __init__(self, site: Site, state: ForwardState, exact: Optional[ExactCount] = None) -> None:
        self.site = site
        self.depth = 0
        #: Whether codes are upset; other targets of the layer may be, alone.
        self.exposed = "weights" in state.settings.targets
        self.step_size: Optional[WeightStepSize] = None
        self._state = state
        self._drawer = MapDrawer(site.name, site.words, state.settings, state.seed, exact)
        self.reader = Reader(site)
        self._cache = WeightCache(site) if state.settings.weight_cache else None
        self.reset()

    def reset(self, given: Optional[Given] = None) -> None:
        self.clean_widths: Dict[int, None] = {}  # an ordered set
        self.start_trial(given)
        if self._cache is not None:
            self._cache.clear()

    def start_trial(self, given: Optional[Given] = None) -> None:
        """Statistics start at zero and fault maps are those of the settings that hold now, or
        ``given``; the kept weight stays."""
        self.depth = 0
        self.calls = 0
        self.counter = Counter(self.site.name)
        self._counts: Optional[torch.Tensor] = None  # upsets and words hit, still on a GPU
        self._drawer.start_trial(self._state.settings, given)
        self._forget_maps()

    def forget(self) -> None:
        """Let go of fault maps and of the kept weight."""
        self._drawer.wait()
        self._forget_maps()
        if self._cache is not None:
            self._cache.clear()

    def _forget_maps(self) -> None:
        self._draw: Optional[int] = None
        self._maps: Dict[Tuple[int, torch.device], Optional[PlacedMap]] = {}

    def static_map(self, width: int) -> ReadMap:
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
            found = wrong_bits(found, clean, grid, self._state.codec, widths[0])
        return faults_of(name, found)

    def is_hit(self, width: int) -> bool:
        """Whether a word is read wrong under the static map of this trial; True where it takes so
        long to draw that it should not be waited for."""
        known = self._draw == 0 and (width, self.site.weight.device) in self._maps
        if not known and self._drawer.worth_drawing_ahead(width):
            return True
        return self._current_map(width, 0) is not None

    def pass_over(self, width: int) -> None:
        """The layer is not run, since what it gives is known: count it as a forward."""
        self.calls += 1
        self._current_map(width, 0)
        self.counter.forwards += 1

    def statistics(self) -> SiteStatistics:
        """What the counters say; waits for the device if that draws maps itself."""
        counts, self._counts = self._counts, None
        if counts is not None:
            upsets, words_hit = counts.tolist()
            self.counter.add(upsets, upsets, words_hit, 0, 0)
        settings = self._state.settings
        return self.counter.frozen(settings.ber, settings.mode)

    def check(self) -> None:
        """Raise InjectionError if a GPU was given words that are no codes."""
        self.reader.check()

    def draw_ahead(self) -> None:
        """A forward of the model begins: draw its map in the background if it is a large one."""
        layer = self.site.layer
        worth = self._drawer.worth_drawing_ahead
        if not self.exposed or not worth(MAX_WIDTH):  # too small at any width
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

    @contextmanager
    def inside_layer(self) -> Iterator[None]:
        """Around one forward of the layer. Raises InjectionError if the layer was to be
        faulted and did not ask its quantizer for a weight."""
        before = self.calls
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
        if self.calls == before and self._state.exposes(self.site.layer.training):
            width = getattr(self.site.layer, "bits", self.site.width_if_set)
            raise InjectionError(
                f"layer {self.site.name!r} ran without quantizing its weight (its width is "
                f"{width}): there is no quantized memory to upset"
            )

    def weight(self, quantize: Quantize, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What the layer's own call ``quantize(*args, **kwargs)`` gives under the current fault
        map: untouched words keep their bits, and the gradient passes straight through.

        Raises SiteError or InjectionError if the value is not quantized memory.
        """
        result = self._weight(quantize, args, kwargs)
        if self.step_size is None or not self._state.exposes(self.site.layer.training):
            return result
        (values, whole), width = self._parts(result), self.site.width_of(args, kwargs)
        return self._within(whole, self.step_size.rescaled(values, self.site, width))

    def used(self, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """The layer uses its weight once more; whether its codes are under upsets."""
        layer, state = self.site.layer, self._state
        self.calls += 1
        if not state.exposes(layer.training):
            state.note_clean(layer.training)
            if state.observer is not None and not state.calibrating:
                width = self.site.width_of(args, kwargs)
                self.clean_widths[width] = None
                if state.used is not None:
                    state.used(self, width)
            return False
        self._refuse_other_tools()
        state.trained = state.trained or layer.training
        return self.exposed

    def placed_now(self, width: int) -> Optional[PlacedMap]:
        """The map that this use is under; None if it has no upset."""
        draw = self._state.exposure_draw(self.site.name, self.site.layer.training)
        self.counter.forwards += 1
        return self._current_map(width, draw)

    def _weight(self, quantize: Quantize, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if not self.used(args, kwargs):
            return quantize(*args, **kwargs)
        placed = self.placed_now(self.site.width_of(args, kwargs))
        key = None if self._cache is None else self._cache.key(args, kwargs)
        if self._cache is None or key is None:
            return self._fresh(quantize, args, kwargs, placed)
        kept = self._cache.find(key)
        if kept is None:
            clean, whole = self._parts(quantize(*args, **kwargs))
            if placed is not None:
                self._require_quantized(clean)
            kept = self._cache.keep(key, clean, whole)
        # Where gradients are on, a graph may have saved what it was given before.
        found = kept.under(placed, self.reader, in_place=not torch.is_grad_enabled())
        return self._within(kept.whole, found)

    def _fresh(
        self,
        quantize: Quantize,
        args: Tuple[Any, ...],
        kwargs: Mapping[str, Any],
        placed: Optional[PlacedMap],
    ) -> Any:
        clean, whole = self._parts(quantize(*args, **kwargs))
        if placed is None:
            return clean if whole is None else whole
        self._require_quantized(clean)
        # Patched in place only if nobody else can see it: no other name holds it, and it is
        # not detached from a tensor that the host keeps (it would have no grad_fn).
        ours = sys.getrefcount(clean) <= _ALONE
        if not ours or clean.grad_fn is None or clean._is_view():
            clean = clean.clone()
        values = self.reader.faulted(clean.detach(), placed, self.site.grid(placed.width))
        faulted: torch.Tensor = Patch.apply(clean, placed, values)  # type: ignore[no-untyped-call]
        return self._within(whole, faulted)

    def _parts(self, result: Any) -> Tuple[torch.Tensor, Any]:
        """The values in what the quantizer gave; and that, unless it is these values alone."""
        values = self.site.value_of(result)
        return values, None if values is result else result

    def _within(self, whole: Any, values: torch.Tensor) -> Any:
        return values if whole is None else self.site.with_value(whole, values)

    def _refuse_other_tools(self) -> None:
        """Raise for a forward that torch runs to make another program of it."""
        if torch._C._get_tracing_state():
            raise InjectionError(
                "the model cannot be traced while upsets are injected: disable first"
            )
        check_memory_of_its_own(f"weight of site {self.site.name!r}", self.site.weight)

    def _require_quantized(self, clean: torch.Tensor) -> None:
        weight = self.site.weight
        if clean.data_ptr() == weight.data_ptr() or clean.shape != weight.shape:
            raise InjectionError(
                f"site {self.site.name!r}: its quantizer gave back no fresh tensor of the "
                f"weight's shape {tuple(weight.shape)}, so it does not quantize"
            )

    def _current_map(self, width: int, draw: int) -> Optional[PlacedMap]:
        """The map that holds now; None if it has no upset."""
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
            return PlacedMasks(masks, self._state.codec, width)
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
        return PlacedMap(found.map, self._state.codec, width, device, codes_on, self._count)

    def _count(self, counts: Union[Tuple[int, int, int, int, int], torch.Tensor]) -> None:
        if not isinstance(counts, torch.Tensor):
            self.counter.add(*counts)
        else:
            self._counts = counts if self._counts is None else self._counts + counts


def _alone() -> int:
    value = object()
    return sys.getrefcount(value)


#: What sys.getrefcount says of a local variable that nobody else holds; versions differ.
_ALONE = _alone()
