"""Where an injector stands between a model and its weights: three forwards that it takes over."""

from __future__ import annotations

from typing import Any, List, Sequence

from torch import nn

from .exposure import ExposedSite
from .forward_state import ForwardState
from .forwards import TakenForward
from .sites import unwrap


def take_over(
    model: nn.Module, sites: Sequence[ExposedSite], state: ForwardState, owner: str
) -> List[TakenForward]:
    """Take over the forwards of the model, its sites' layers and their weight quantizers.

    Raises InjectionError, and leaves all as it was, if another injector holds one of them.
    """
    taken: List[TakenForward] = []
    root = unwrap(model)
    state.watch(root)
    try:
        taken.append(_RootForward(root, owner, state, sites))
        for exposed in sites:
            taken.append(_LayerForward(exposed.site.layer, owner, exposed))
            taken.append(_QuantizerForward(exposed.site.quantizer, owner, exposed))
    except BaseException:
        give_back(taken)
        raise
    return taken


class _RootForward(TakenForward):
    """Marks one forward of the whole model."""

    def __init__(
        self, module: nn.Module, owner: str, state: ForwardState, sites: Sequence[ExposedSite]
    ) -> None:
        super().__init__(module, owner)
        self._state = state
        self._sites = sites

    def run(self, *args: Any, **kwargs: Any) -> Any:
        with self._state.root_forward():
            for exposed in self._sites:
                exposed.draw_ahead()
            output = self.original(*args, **kwargs)
            state = self._state
            if state.observer is not None and state.outermost and not state.calibrating:
                state.observer(output)
            return output


class _LayerForward(TakenForward):
    """Marks the inside of a layer: quantizer calls elsewhere see clean weights."""

    def __init__(self, module: nn.Module, owner: str, exposed: ExposedSite) -> None:
        super().__init__(module, owner)
        self._exposed = exposed

    def run(self, *args: Any, **kwargs: Any) -> Any:
        with self._exposed.inside_layer():
            return self.original(*args, **kwargs)


class _QuantizerForward(TakenForward):
    """Puts the upsets into what the weight quantizer gives to its layer."""

    def __init__(self, module: nn.Module, owner: str, exposed: ExposedSite) -> None:
        super().__init__(module, owner)
        self._exposed = exposed

    def run(self, *args: Any, **kwargs: Any) -> Any:
        if self._exposed.depth == 0:
            return self.original(*args, **kwargs)
        return self._exposed.weight(self.original, args, kwargs)


def give_back(taken: Sequence[TakenForward]) -> None:
    """Undo :func:`take_over`."""
    for forward in reversed(taken):
        forward.give_back()
