"""One run of a host: what the host, or its instrumentation, calls."""

from __future__ import annotations

import inspect
import weakref
from types import MappingProxyType
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import pluggy

from .contract import Phase, PhaseOutcome, PluginError, Stopped, setting
from .manager import check_pending
from .profiles import PhaseFunction
from .reached import Reached
from .spelling import did_you_mean
from .stops import Termination, stop_of


class Session:
    """Carries a host through configure, phases and close.

    A host that knows of plugins calls these methods itself; for one that does not,
    :func:`rfquant_hooks.instrument` does.
    """

    def __init__(
        self, manager: pluggy.PluginManager, options: Optional[Mapping[str, str]] = None
    ) -> None:
        self.manager = manager
        self.options = MappingProxyType(dict(options or {}))
        self._config: Any = None
        self._configured = False
        self._closed = False
        self._searched = False
        self._phase: Optional[Phase] = None
        #: Whether SIGTERM ends the run as Ctrl-C does: for whoever shows a stop in one line.
        self.takes_signals = False
        #: Notes whether plugins were shown a configuration, if a run without is a mistake.
        self.reached: Optional[Reached] = None
        self._termination = Termination()
        weakref.finalize(self, self._termination.off).atexit = False

    def configure(self, config: Any) -> None:
        """The host has read ``config``. Again with the same object changes nothing; another
        object is shown to the plugins, who refuse what they cannot change any more."""
        if not self._configured or config is not self._config:
            self._config = config
            self.manager.hook.rfquant_configure(
                config=config, manager=self.manager, options=self.options
            )
            check_pending(self.manager)
            self._configured = True
            if self.reached is not None:
                self.reached.note()
            if self.takes_signals and self.at_work:
                self._termination.on()

    @property
    def at_work(self) -> bool:
        """Whether a plugin wants phases; if none does, the host is on its own."""
        hook = self.manager.hook
        return bool(
            hook.rfquant_run_phase.get_hookimpls() or hook.rfquant_bit_widths.get_hookimpls()
        )

    def stop_of(self, error: BaseException) -> Optional[Stopped]:
        """What to say of Ctrl-C or SIGTERM in place of a traceback; None: it is another error, or
        one of a host on its own."""
        return stop_of(error) if self.at_work or isinstance(error, Stopped) else None

    def expects_no_run(self) -> None:
        """The host was started for something else than a run: no configuration is no mistake."""
        self.reached = None

    def give_signals_back(self) -> None:
        """SIGTERM does again what it did before the run."""
        self._termination.off()

    def model_built(self, model: Any) -> None:
        """The quantized ``model`` exists and has not been run."""
        if self._configured:
            self.manager.hook.rfquant_model_built(config=self._config, model=model)

    def run_phase(
        self,
        function: PhaseFunction,
        call: Callable[..., Any],
        args: Tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Run the host's ``call(*args, **kwargs)`` as a phase and return its value.

        Arguments are bound by name from the signature of ``call``, so that a fork with extra
        parameters works unchanged. Exceptions propagate.
        """
        bound = inspect.signature(call).bind(*args, **kwargs)
        named = _named(bound)
        config = self._config
        if function.config is not None and function.config in named:
            config = named[function.config]
            self.configure(config)
        hook = self.manager.hook
        if not self.at_work:
            return call(*args, **kwargs)
        widths = None
        require(function, bound.signature, function.model)
        evaluates = function.policy is not None or function.phase == "validate"
        if evaluates and not self._is_searching(config):
            widths = hook.rfquant_bit_widths(config=config)
            if widths is not None and function.policy is not None:
                require(function, bound.signature, function.policy)
                bound.arguments[function.policy] = function.write_policy(widths)
        named = _named(bound)
        phase = Phase(
            name=function.phase,
            model=named[function.model],
            config=config,
            arguments=MappingProxyType(named),
            bit_widths=widths,
            parent=self._phase,
            data=None if function.data is None else named.get(function.data),
            read_labels=function.read_labels,
        )
        runs = 0

        def run() -> PhaseOutcome:
            nonlocal runs
            runs += 1
            value = call(*bound.args, **bound.kwargs)
            return PhaseOutcome(value, function.read_metrics(value))

        outer, self._phase = self._phase, phase
        try:
            outcome = hook.rfquant_run_phase(phase=phase, run=run)
            if outcome is None and runs == 0:
                outcome = run()
        finally:
            self._phase = outer
            self._searched = self._searched or function.phase == "search"
        if not isinstance(outcome, PhaseOutcome):
            raise PluginError(
                f"a plugin answered phase {phase.name!r} with {outcome!r}, not a PhaseOutcome"
            )
        return outcome.value

    def _is_searching(self, config: Any) -> bool:
        """A search evaluates its own candidates: their widths are not ours to replace."""
        inside = self._phase is not None and (
            self._phase.name == "search" or self._phase.inside("search")
        )
        return bool(inside or self._searched or setting(config, "search", False))

    def close(self, error: Optional[BaseException] = None) -> None:
        """The run is over, by ``error`` if that is not None; a second call changes nothing.

        Raises PluginError if it did not do what it was asked for: a plugin says so, or the run of a
        host with a profile of its own came to none of the profile's functions.
        """
        self.give_signals_back()
        if self._closed:
            return
        if self._configured:
            self._closed = True
            self.manager.hook.rfquant_unconfigure(error=error)
        elif error is None and self.reached is not None:
            self._closed = True
            self.reached.check()


def require(function: PhaseFunction, signature: inspect.Signature, parameter: str) -> None:
    """Raise PluginError if the host's function has no such parameter."""
    if parameter not in signature.parameters:
        raise PluginError(
            f"host function {function.module}.{function.function} has no parameter "
            f"{parameter!r}: its parameters are {', '.join(signature.parameters)}"
            f"{did_you_mean(parameter, signature.parameters)}"
        )


def _named(bound: inspect.BoundArguments) -> Dict[str, Any]:
    full = inspect.BoundArguments(bound.signature, bound.arguments.copy())
    full.apply_defaults()
    return dict(full.arguments)
