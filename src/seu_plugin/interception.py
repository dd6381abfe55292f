"""Where an injector stands between a model and its weights: three forwards that it takes over."""

from __future__ import annotations

import sys
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
    try:
        taken.append(_RootForward(unwrap(model), owner, state))
        for exposed in sites:
            taken.append(_LayerForward(exposed.site.layer, owner, exposed))
            taken.append(_QuantizerForward(exposed.site.quantizer, owner, exposed))
    except BaseException:
        give_back(taken)
        raise
    return taken


class _RootForward(TakenForward):
    """Marks one forward of the whole model."""

    def __init__(self, module: nn.Module, owner: str, state: ForwardState) -> None:
        super().__init__(module, owner)
        self._state = state
        self._norms = [
            m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # The host calibrates BatchNorm with the model in eval mode and its BatchNorms alone
        # in train mode (util/utils.py, reset_batchnorm_stats).
        calibrating = not self.module.training and any(m.training for m in self._norms)
        with self._state.root_forward(calibrating):
            return self.original(*args, **kwargs)


class _LayerForward(TakenForward):
    """Marks the inside of a layer: quantizer calls elsewhere see clean weights."""

    def __init__(self, module: nn.Module, owner: str, exposed: ExposedSite) -> None:
        super().__init__(module, owner)
        self._exposed = exposed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._exposed.inside_layer():
            return self.original(*args, **kwargs)


class _QuantizerForward(TakenForward):
    """Puts the upsets into what the weight quantizer gives to its layer."""

    def __init__(self, module: nn.Module, owner: str, exposed: ExposedSite) -> None:
        super().__init__(module, owner)
        self._exposed = exposed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        clean = self.original(*args, **kwargs)
        if self._exposed.depth == 0:
            return clean
        ours = sys.getrefcount(clean) <= 2  # this name and the call's: nobody else keeps it
        return self._exposed.expose(clean, ours, args, kwargs)


def give_back(taken: Sequence[TakenForward]) -> None:
    """Undo :func:`take_over`."""
    for forward in reversed(taken):
        forward.give_back()
