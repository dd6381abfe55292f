"""A model while an injector is enabled on it, and giving it back."""

from __future__ import annotations

import warnings
import weakref
from typing import ContextManager, Optional, Sequence

from torch import nn

from ..errors import InjectionError, SeuWarning
from ..faults.dense_map import free_buffers
from .exposure import ExposedSite
from .forward_state import ForwardState
from .fresh_step_sizes import FreshStepSizes
from .interception import take_over
from .other_targets import OtherTargets
from .reuse import Reuse


class Enabled:
    """Takes the model's forwards over; :meth:`end` gives them back, with all that is not its own.

    Knows nothing of the injector, so that one may be collected while it is enabled. Raises
    InjectionError, and changes nothing, if another injector holds a part of the model.
    """

    def __init__(
        self,
        model: nn.Module,
        exposed: Sequence[ExposedSite],
        state: ForwardState,
        others: OtherTargets,
        owner: str,
        reuse: Optional[Reuse] = None,
    ) -> None:
        self._model, self._exposed, self._state = model, exposed, state
        self._hold = take_over(model, exposed, state, owner, others, reuse)
        self._hold.kept = self  # for as long as the model is
        self.keep_step_sizes()

    def keep_step_sizes(self) -> None:
        """Step sizes that have been set by now stay."""
        self._fresh = FreshStepSizes(self._model)

    def replaced(self) -> Optional[InjectionError]:
        """What is wrong if somebody else has replaced one of the forwards since."""
        try:
            self._hold.check()
        except InjectionError as error:
            return error
        return None

    def still(self) -> ContextManager[None]:
        """Inside, no other thread is in a forward."""
        return self._hold.still()

    def end(self) -> None:
        self._hold.give_back()
        for site in self._exposed:
            site.forget()
        free_buffers()
        if not self._state.trained:
            self._fresh.restore()

    @property
    def owner(self) -> str:
        return self._hold.owner


def dropped(reference: weakref.ref[Enabled]) -> None:
    """An injector was collected, and nobody had disabled it: its model, if that is not collected
    along with it, is given back."""
    enabled = reference()
    if enabled is not None:
        enabled.end()
        warnings.warn(
            f"{enabled.owner} was dropped while enabled; its model is as before from now on: "
            "keep the injector until disable(), or use it as a context manager",
            SeuWarning,
            stacklevel=2,
        )
