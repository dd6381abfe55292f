"""What a run of the host changes besides its result, and putting it back: between the runs of a
campaign only the faults are to differ."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Tuple

import numpy as np
import torch
from torch import nn

from rfquant_hooks.contract import PhaseOutcome

from ..errors import ConfigError, InjectionError
from ..quantizers.names import named_modules


class CpuGenerators:
    """The global generators of random, numpy and torch on the CPU, as they are now; equal where
    the same numbers follow."""

    def __init__(self) -> None:
        self._python, self._numpy = random.getstate(), np.random.get_state()
        self._torch = torch.get_rng_state()

    def restore(self) -> None:
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CpuGenerators) and self._key() == other._key()

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up

    def _key(self) -> Tuple[Any, ...]:
        name, keys, *place = self._numpy
        numpy = (name, np.asarray(keys).tobytes(), *place)
        return self._python, numpy, self._torch.numpy().tobytes()


class GeneratorState:
    """The global generators of random, numpy and torch (all devices), as they are now."""

    def __init__(self) -> None:
        self._cpu = CpuGenerators()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None

    def restore(self) -> None:
        self._cpu.restore()
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)


@contextmanager
def host_rng_restored() -> Iterator[None]:
    """The golden run leaves the host's generators as it found them, so that the faulted run
    sees the same data in the same order and a later phase the numbers of a single run."""
    state = GeneratorState()
    try:
        yield
    finally:
        state.restore()


class RunState:
    """Generators, train flags of all modules, and the statistics of all BatchNorms.

    Not the rest: a step size that the golden run initialized stays.
    """

    def __init__(self, model: nn.Module) -> None:
        self._generators = GeneratorState()
        self._flags = [(module, module.training) for module in model.modules()]
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._momenta = [(norm, norm.momentum) for norm in norms]
        self._buffers: List[Tuple[torch.Tensor, torch.Tensor]] = [
            (buffer, buffer.detach().clone()) for norm in norms for buffer in norm.buffers()
        ]

    def restore(self) -> None:
        self._generators.restore()
        for module, training in self._flags:
            if module.training is not training:
                module.training = training
        for norm, momentum in self._momenta:
            if norm.momentum is not momentum:
                norm.momentum = momentum
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)


def check_observers(model: nn.Module) -> None:
    """Raise ConfigError if fake quantization still learns its ranges, as torch.ao's does after
    ``prepare_qat`` and ``eval()``: each run would change the model for the next one."""
    for name, module in named_modules(model):
        learns = module._buffers.get("observer_enabled")
        if learns is not None and bool(learns.any()):
            raise ConfigError(
                f"campaign: {name} still observes, so that each run changes the model: call "
                "model.apply(torch.ao.quantization.disable_observer) first"
            )


class Calibrations:
    """BatchNorm calibrations of the golden run, repeated from memory in each trial.

    The n-th calibration of a trial gets the statistics that the n-th of the golden run found
    with clean weights (one for each architecture evaluated).
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._made: List[Tuple[PhaseOutcome, RunState]] = []
        self._next = 0
        self.recording = True

    def rewind(self) -> None:
        """The next calibration is the first of a trial."""
        self._next, self.recording = 0, False

    def __len__(self) -> int:
        return len(self._made)

    def calibrate(self, run: Callable[[], PhaseOutcome]) -> PhaseOutcome:
        """Raises InjectionError if a trial calibrates more often than the golden run did."""
        if self.recording:
            outcome = run()
            self._made.append((outcome, RunState(self._model)))
            return outcome
        if self._next >= len(self._made):
            raise InjectionError(
                f"a trial calibrates BatchNorm more than {len(self._made)} times, unlike the "
                "golden run: only the faults may differ"
            )
        outcome, state = self._made[self._next]
        self._next += 1
        state.restore()
        return outcome
