"""Where an injector stands between a model and its weights: three forwards that it takes over."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import Any, ContextManager, List, Optional, Sequence

import torch
from torch import nn

from ..errors import InjectionError
from ..quantizers.contract import Activations
from ..quantizers.names import unwrap
from .activation_codes import ExposedActivations
from .exposure import ExposedSite
from .float_weights import in_floats
from .float_words import ExposedWords, replaced
from .forward_state import ForwardState
from .forwards import Hold, TakenForward
from .other_targets import OtherTargets
from .reuse import Reuse
from .stores import check_backward, in_store


def take_over(
    model: nn.Module,
    sites: Sequence[ExposedSite],
    state: ForwardState,
    owner: str,
    others: OtherTargets,
    reuse: Optional[Reuse] = None,
) -> Hold:
    """Take over the forwards of the model, its sites' layers and their weight quantizers; with
    ``reuse`` also those of all modules between them.

    Raises InjectionError, and leaves all as it was, if another injector holds one of them.
    """
    hold = Hold(owner)
    root = unwrap(model)
    state.watch(root)
    seen = None if reuse is None else reuse.attach(root, sites)
    state.used = None if reuse is None else reuse.used
    try:
        _RootForward(root, hold, state, sites, reuse)
        for exposed in sites:
            bias = others.biases.get(exposed.site.name)
            layer = _LayerForward(exposed.site.layer, hold, exposed, bias, reuse)
            if exposed.site.store is None and not exposed.site.floats:
                layer.weight = _QuantizerForward(exposed.site.quantizer, hold, exposed, layer)
            name = exposed.site.name
            codes, step = others.activations.get(name), others.step_sizes.get(name)
            if codes is not None or step is not None:
                _ActivationForward(exposed.site.activations(), hold, exposed, codes, step, layer)
        for norm, words in others.norms.items():
            _NormForward(norm, hold, words)
        if reuse is not None and seen is not None:
            for module in seen.watched:
                if not isinstance(vars(module).get("forward"), TakenForward):
                    _UnitForward(module, hold, reuse)
            seen.taken_over()
    except BaseException:
        hold.give_back()
        raise
    return hold


class _RootForward(TakenForward):
    """Marks one forward of the whole model."""

    def __init__(
        self,
        module: nn.Module,
        hold: Hold,
        state: ForwardState,
        sites: Sequence[ExposedSite],
        reuse: Optional[Reuse],
    ) -> None:
        super().__init__(module, hold)
        self._state = state
        self._sites = sites
        self._reuse = reuse
        self.guard("state_dict", self._state_dict)

    def _state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Not in the middle of another thread's forward, where modules hold words with upsets."""
        with self.hold.still():
            return type(self.module).state_dict(self.module, *args, **kwargs)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        self.hold.check()
        with self._state.root_forward():
            for exposed in self._sites:
                exposed.draw_ahead()
            state, reuse = self._state, self._reuse
            if reuse is None or not state.outermost or state.calibrating:
                output = self.original(*args, **kwargs)
            else:
                exposed_now = state.exposes(self.module.training)
                output = reuse.forward(self.original, args, kwargs, exposed_now)
            if state.observer is not None and state.outermost and not state.calibrating:
                state.observer(output, args)
            return output


class _LayerForward(TakenForward):
    """Marks the inside of a layer: quantizer calls elsewhere see clean weights."""

    weight: Optional[TakenForward] = None  # that of its weight quantizer, if there is one

    def __init__(
        self,
        module: nn.Module,
        hold: Hold,
        exposed: ExposedSite,
        bias: Optional[ExposedWords] = None,
        reuse: Optional[Reuse] = None,
    ) -> None:
        super().__init__(module, hold)
        self._exposed, self._reuse = exposed, reuse
        self._words = [] if bias is None else [bias]

    def run(self, *args: Any, **kwargs: Any) -> Any:
        if self.weight is not None:
            self.weight.check_held()  # the layer may run without the model around it
        if self._reuse is None:
            return self._computed(*args, **kwargs)
        return self._reuse.call(self.module, self._computed, args, kwargs)

    def _computed(self, *args: Any, **kwargs: Any) -> Any:
        exposed = self._exposed
        with exposed.inside_layer(), in_store(exposed), in_floats(exposed), replaced(self._words):
            result = self.original(*args, **kwargs)
        check_backward(exposed.site, (*args, *kwargs.values()), result)
        return result


class _UnitForward(TakenForward):
    """A module without a site of its own, whose output may be that of the golden run. To whoever
    looks at it, it is the method that it stands for."""

    def __init__(self, module: nn.Module, hold: Hold, reuse: Reuse) -> None:
        super().__init__(module, hold)
        self._reuse = reuse

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.original)

    @property
    def __func__(self) -> Any:
        return getattr(self.original, "__func__", self.original)

    @property
    def __self__(self) -> Any:
        return getattr(self.original, "__self__", self.module)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return self._reuse.call(self.module, self.original, args, kwargs)

    def check_held(self) -> None:
        """It matters to nobody whether another has replaced it."""


class _NormForward(TakenForward):
    """Puts upsets into what a BatchNorm reads."""

    def __init__(self, module: nn.Module, hold: Hold, words: List[ExposedWords]) -> None:
        super().__init__(module, hold)
        self._words = words

    def run(self, *args: Any, **kwargs: Any) -> Any:
        with replaced(self._words):
            return self.original(*args, **kwargs)


class _ActivationForward(TakenForward):
    """Puts upsets into what the activation quantizer gives to its layer, and into its step size."""

    def __init__(
        self,
        quantized: Activations,
        hold: Hold,
        exposed: ExposedSite,
        codes: Optional[ExposedActivations],
        step: Optional[ExposedWords],
        layer: TakenForward,
    ) -> None:
        super().__init__(quantized.quantizer, hold, layer)
        self._quantized, self._exposed, self._codes, self._step = quantized, exposed, codes, step
        self._part = None if step is None else exposed.site.activation_step_words().part

    def run(self, *args: Any, **kwargs: Any) -> Any:
        if self._exposed.depth == 0:
            return self.original(*args, **kwargs)
        with self._step_size(args, kwargs):
            if self._codes is None:
                return self.original(*args, **kwargs)
            return self._codes.output(self.original, args, kwargs)

    def _step_size(self, args: Any, kwargs: Any) -> ContextManager[None]:
        width = None if self._part is None else self._quantized.width_of(args, kwargs)
        if self._step is None or self._part is None or width is None or not self._step.exposed:
            return nullcontext()
        part = self._part(width)
        state = getattr(self.module, "init_state", None)
        if isinstance(state, torch.Tensor) and not bool(state.reshape(-1)[part]):
            if self.module.training or not self._step.injects:
                return nullcontext()  # this very forward sets it: nothing is stored yet
            raise InjectionError(
                f"{self._step.name}: has no value at width {width} yet; run the model clean once"
            )
        return replaced([self._step], part)


class _QuantizerForward(TakenForward):
    """Puts the upsets into what the weight quantizer gives to its layer."""

    def __init__(
        self, module: nn.Module, hold: Hold, exposed: ExposedSite, layer: TakenForward
    ) -> None:
        super().__init__(module, hold, layer)
        self._exposed = exposed

    def run(self, *args: Any, **kwargs: Any) -> Any:
        if self._exposed.depth == 0:
            return self.original(*args, **kwargs)
        return self._exposed.weight(self.original, args, kwargs)
