"""One site under exposure: putting its fault map into the weight that the layer reads."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

import torch

from ..errors import InjectionError
from ..faults.site_memory import Given
from ..quantizers.contract import Site
from ..quantizers.storage import check_memory_of_its_own
from .exact_count import ExactCount
from .float_words import WeightStepSize
from .forward_state import ForwardState
from .patch import Patch
from .placement import PlacedMap
from .reading import Reader
from .site_maps import SiteMaps
from .statistics import Counter, SiteStatistics
from .weight_cache import WeightCache

Quantize = Callable[..., Any]


class ExposedSite:
    """A site, its fault maps (``maps``), and how deep inside its layer the program is."""

    def __init__(
        self,
        site: Site,
        state: ForwardState,
        exact: Optional[ExactCount] = None,
        adapter: str = "",
    ) -> None:
        self.site = site
        self.depth = 0
        #: Whether codes are upset; other targets of the layer may be, alone.
        self.exposed = "weights" in state.settings.targets
        self.step_size: Optional[WeightStepSize] = None
        self._state = state
        self.maps = SiteMaps(site, state, exact, adapter)
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
        self.maps.start_trial(given)

    def forget(self) -> None:
        """Let go of fault maps and of the kept weight."""
        self.maps.forget()
        if self._cache is not None:
            self._cache.clear()

    def pass_over(self, width: int) -> None:
        """The layer is not run, since what it gives is known: count it as a forward."""
        self.calls += 1
        self.maps.current(width, 0)
        self.counter.forwards += 1

    @property
    def counter(self) -> Counter:
        return self.maps.counter

    @property
    def reader(self) -> Reader:
        return self.maps.reader

    def statistics(self) -> SiteStatistics:
        """What the counters say; waits for the device if that draws maps itself."""
        return self.maps.statistics()

    def check(self) -> None:
        """Raise InjectionError if a GPU was given words that are no codes."""
        self.reader.check()

    def draw_ahead(self) -> None:
        """A forward of the model begins: draw its map in the background if it is a large one."""
        if self.exposed:
            self.maps.draw_ahead()

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
        return self.maps.current(width, draw)

    def words(self, weight: torch.Tensor) -> torch.Tensor:
        """``weight``, of IEEE words, under the current fault map; itself where it is clean."""
        found: torch.Tensor = self._weight(_itself, (weight,), {})
        return found

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
        grid = self.site.grid_of(clean if whole is None else whole, placed.width)
        values = self.reader.faulted(clean.detach(), placed, grid)
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
        if self.site.floats:
            return
        if clean.data_ptr() == weight.data_ptr() or clean.shape != weight.shape:
            raise InjectionError(
                f"site {self.site.name!r}: its quantizer gave back no fresh tensor of the "
                f"weight's shape {tuple(weight.shape)}, so it does not quantize"
            )


def _itself(weight: torch.Tensor) -> torch.Tensor:
    return weight


def _alone() -> int:
    value = object()
    return sys.getrefcount(value)


#: What sys.getrefcount says of a local variable that nobody else holds; versions differ.
_ALONE = _alone()
