"""One site under exposure: which fault map holds now, and putting it into the weight."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import torch

from .errors import InjectionError
from .fault_map import FaultMap, draw_fault_map
from .forward_state import ForwardState
from .seeding import Stream
from .sites import Site, check_width
from .statistics import Counter


class ExposedSite:
    """A site, the fault maps it has seen, and how deep inside its layer the program is."""

    def __init__(self, site: Site, state: ForwardState) -> None:
        self.site = site
        self.depth = 0
        self._state = state
        self.reset()

    def reset(self) -> None:
        self.depth = 0
        self.calls = 0
        self.counter = Counter(self.site.name)
        self.forget_maps()

    def forget_maps(self) -> None:
        self._draw: Optional[int] = None
        self._maps: Dict[int, Tuple[FaultMap, torch.Tensor, torch.Tensor]] = {}

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
        layer = self.site.layer
        if self.calls == before and self._state.exposes(layer.training):
            raise InjectionError(
                f"layer {self.site.name!r} ran without quantizing its weight (its width is "
                f"{getattr(layer, 'bits', None)}): there is no quantized memory to upset"
            )

    def expose(
        self, clean: torch.Tensor, ours: bool, args: Tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> torch.Tensor:
        """The quantizer's output ``clean``, with the upsets of the current fault map.

        Untouched words keep their bits, and the gradient passes straight through. Patched in
        place only if no one else can see it: ``ours`` says that no other name holds it.
        Raises SiteError or InjectionError if the value is not quantized memory.
        """
        layer = self.site.layer
        self.calls += 1
        if not self._state.exposes(layer.training):
            self._state.note_clean(layer.training)
            return clean
        self._state.trained = self._state.trained or layer.training
        width = self._width(args, kwargs)
        draw = self._state.exposure_draw(self.site.name, layer.training)
        fault_map, index, mask = self._current_map(width, draw, clean.device)
        self.counter.forwards += 1
        if not fault_map.upsets:
            return clean
        if clean.data_ptr() == layer.weight.data_ptr() or clean.shape != layer.weight.shape:
            raise InjectionError(
                f"site {self.site.name!r}: its quantizer gave back no fresh tensor of the "
                f"weight's shape {tuple(layer.weight.shape)}, so it does not quantize"
            )
        # Without a grad_fn it may be detached from a tensor that the host keeps.
        if not ours or clean.grad_fn is None or clean._is_view():
            clean = clean.clone()
        values = self._faulted_values(clean, width, index, mask)
        faulted: torch.Tensor = _Patch.apply(clean, index, values)  # type: ignore[no-untyped-call]
        return faulted

    def _width(self, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
        bits = kwargs["bits"] if "bits" in kwargs else args[1] if len(args) > 1 else None
        if bits is None:
            raise InjectionError(
                f"site {self.site.name!r}: its layer called the quantizer without a width"
            )
        width = int(bits)
        check_width(self.site.name, width)
        return width

    def _current_map(
        self, width: int, draw: int, device: torch.device
    ) -> Tuple[FaultMap, torch.Tensor, torch.Tensor]:
        if draw != self._draw:
            self.forget_maps()
            self._draw = draw
        if width not in self._maps:
            settings, state = self._state.settings, self._state
            stream = Stream(state.seed, self.site.name, settings.trial, draw)
            fault_map = draw_fault_map(stream, self.site.words, width, settings.ber)
            selected = _selected_bits(settings.bits, width)
            if selected != (1 << width) - 1:
                fault_map = fault_map.restricted_to(selected)
            self._count(fault_map, width, selected)
            where = state.device or device
            index = torch.from_numpy(fault_map.index).to(device)
            self._maps[width] = (fault_map, index, torch.from_numpy(fault_map.mask).to(where))
        return self._maps[width]

    def _count(self, fault_map: FaultMap, width: int, selected: int) -> None:
        counter = self.counter
        counter.maps += 1
        counter.words += self.site.words
        counter.bits += self.site.words * bin(selected).count("1")
        counter.upsets += fault_map.upsets
        counter.words_hit += len(fault_map.index)
        counter.widths[width] = None

    def _faulted_values(
        self, clean: torch.Tensor, width: int, index: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """What the hit words read as; clean's dtype, shape [words hit]."""
        scale = self.site.step_size(width).reshape(-1)
        if scale.numel() > 1:
            scale = scale[torch.div(index, clean[0].numel(), rounding_mode="floor")]
        hit = clean.detach().take(index).to(mask.device)
        scale = scale.to(mask.device)
        ratio = hit / scale
        code = torch.round(ratio)
        codec = self._state.codec
        if mask.device.type == "cpu":  # elsewhere the check would wait for the device
            fits = (code >= codec.lowest(width)) & (code <= codec.highest(width))
            if not bool((fits & ((ratio - code).abs() <= 0.01)).all()):
                raise InjectionError(
                    f"site {self.site.name!r}: its weights are not {self._state.settings.encoding} "
                    f"codes of {width} bits times the step size, so they are no quantized memory"
                )
        stored = codec.encode(code.to(torch.int32), width) ^ mask
        faulted: torch.Tensor = codec.decode(stored, width) * scale
        return faulted.to(clean)


class _Patch(torch.autograd.Function):
    """Writes values into a tensor in place; the gradient passes straight through."""

    @staticmethod
    def forward(
        ctx: Any, clean: torch.Tensor, index: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        ctx.mark_dirty(clean)
        return clean.put_(index, values)  # by logical position, whatever the memory format

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return grad, None, None


def _selected_bits(bits: Any, width: int) -> int:
    """The exposed bit positions of a word as a mask."""
    if bits == "all":
        return (1 << width) - 1
    if bits == "msb":
        return 1 << (width - 1)
    if bits == "lsb":
        return 1
    return sum(1 << position for position in bits if position < width)
