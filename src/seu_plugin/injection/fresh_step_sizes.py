"""Activation step sizes that a faulted forward would be the first to set."""

from __future__ import annotations

from typing import Any, List, Tuple

import torch
from torch import nn


class FreshStepSizes:
    """Remembers quantizers with step sizes not yet initialized, and takes back what was set.

    The host initializes an activation step size from the first data that it sees, in eval mode
    too (quan/quantizer/lsq.py). If that data comes from a faulted forward, the value must not
    outlive the injector. (Run a clean forward first and there is nothing to take back.)
    """

    def __init__(self, model: nn.Module) -> None:
        self._saved: List[Tuple[Any, torch.Tensor, torch.Tensor]] = []
        for module in model.modules():
            state, step = getattr(module, "init_state", None), getattr(module, "s", None)
            if not (isinstance(state, torch.Tensor) and isinstance(step, torch.Tensor)):
                continue
            if bool((state == 0).any()):
                self._saved.append((module, state.clone(), step.detach().clone()))

    def restore(self) -> None:
        with torch.no_grad():
            for module, state, step in self._saved:
                state, step = state.to(module.init_state), step.to(module.s)
                # What has not changed is not written: a graph may have saved it for its backward.
                if state.shape == step.shape == module.s.shape:
                    fresh = (state == 0) & (module.init_state != 0)  # the rest is not ours
                    if bool(fresh.any()):
                        module.init_state[fresh], module.s[fresh] = state[fresh], step[fresh]
                elif not (torch.equal(module.init_state, state) and torch.equal(module.s, step)):
                    module.init_state.copy_(state)
                    module.s.copy_(step)
