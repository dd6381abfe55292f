"""Put a host under hooks without editing it, and take it out again without a trace."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from types import ModuleType
from typing import Any, Callable, Dict, Iterable, Mapping, Optional

from .contract import BitWidths, PluginError
from .importing import FAILURES, importing, refuse_script
from .manager import create_manager
from .patching import Patches, exists
from .process_end import ProcessEnd
from .profiles import RFQUANT, HostProfile, PhaseFunction
from .reached import Reached
from .repair import Host
from .repairs import Repairs
from .served import ServedModules
from .session import Session, require
from .spelling import did_you_mean

#: From a host's function to its wrapper.
Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]

_active: Optional[Instrumentation] = None


def instrument(
    profile: HostProfile = RFQUANT,
    plugins: Iterable[object] = (),
    blocked: Iterable[str] = (),
    entry_points: bool = True,
    repairs: Optional[Iterable[str]] = None,
    options: Optional[Mapping[str, str]] = None,
) -> Session:
    """Wrap the host's functions in place, so that its phases reach the plugins.

    The host must be importable (its folder on ``sys.path``). Call it before or after the host
    copied names with ``from process import validate``: copies in the host's modules are
    replaced too. A second call returns the session of the first. Undone by
    :func:`uninstrument`. ``options`` are for plugins, as rfquant-run takes them. A host that is no
    RFQuant is told by ``profile``; :func:`find_profile` reads one from a file.

    The session closes when the process exits, if nobody closed it before; a PluginError is then
    shown as one line and the exit code is 2.

    Raises PluginError if the host lacks a module or function of ``profile``; for one that is not
    RFQUANT, also if a parameter is not there, if a module fails to import, or if it is the script.
    """
    global _active
    if _active is None:
        session = Session(create_manager(plugins, blocked, entry_points), options)
        instrumentation = Instrumentation(profile, session, repairs)
        try:
            instrumentation.apply()
        except BaseException:
            instrumentation.undo()
            raise
        _active = instrumentation
    return _active.session


def uninstrument() -> None:
    """Undo :func:`instrument` exactly. Does nothing when nothing is instrumented."""
    global _active
    if _active is not None:
        _active.undo()
        _active = None


class Instrumentation:
    """The changes made to one host, and how to undo them."""

    def __init__(
        self, profile: HostProfile, session: Session, repairs: Optional[Iterable[str]]
    ) -> None:
        self.profile = profile
        self.session = session
        self._chosen = repairs
        self._repairs: Optional[Repairs] = None
        self._patches = Patches()
        self._finder: Optional[ServedModules] = None
        self._end: Optional[ProcessEnd] = None
        self._live = False

    def apply(self) -> None:
        main = getattr(sys.modules["__main__"], "__file__", None)
        refuse_script(self.profile, main, running=True)
        served: Dict[str, str] = {}
        for offer in self.session.manager.hook.rfquant_host_modules():
            served.update(offer)
        # Last in line: a module that the host has itself is found before ours.
        self._finder = ServedModules(served)
        sys.meta_path.append(self._finder)

        modules = self._import_host()
        host = Host(self.profile, next(iter(modules.values())), self._bit_widths)
        repairs = self._repairs = Repairs(host, self._chosen)
        self._live = True
        if self.profile.read_config is not None:
            name, function = self.profile.read_config
            self._wrap(modules[name], function, self._reading(repairs))
        if self.profile.build_model is not None:
            name, function = self.profile.build_model
            self._wrap(modules[name], function, self._after(self.session.model_built))
        for phase in self.profile.phases:
            if phase.module in modules:
                original = self._function(modules[phase.module], phase.function)
                self._check_parameters(phase, original)
                self._wrap(modules[phase.module], phase.function, self._around(phase, repairs))
        if self.profile is not RFQUANT:
            self.session.reached = Reached(self.profile)
        self._end = ProcessEnd(self.session)
        self.session.takes_signals = True

    def undo(self) -> None:
        self._live = False
        self.session.give_signals_back()
        if self._end is not None:
            self._end.uninstall()
            self._end = None
        if self._repairs is not None:
            self._repairs.undo()
            self._repairs = None
        self._patches.undo()
        if self._finder is not None:
            self._finder.remove()
            self._finder = None

    def _import_host(self) -> Dict[str, ModuleType]:
        modules: Dict[str, ModuleType] = {}
        functions = self.profile.functions()
        # An error in a host that everybody knows is the host's: its traceback says where.
        failures = (SystemExit,) if self.profile is RFQUANT else FAILURES
        for name, required in self.profile.modules().items():
            key = next(iter(functions[name].values()))
            with importing(f"profile {self.profile.name!r}: {key}", name, failures):
                if exists(name):
                    modules[name] = importlib.import_module(name)
            if required and name not in modules:
                raise PluginError(
                    f"host {self.profile.name!r} has no module {name!r} on the import path: "
                    "give rfquant-run the host's main.py, or run from the host's folder"
                )
        if not modules:
            raise PluginError(
                f"host {self.profile.name!r} has none of the modules of its profile: "
                f"{', '.join(self.profile.modules())}"
            )
        return modules

    def _function(self, owner: ModuleType, name: str) -> Callable[..., Any]:
        found: Optional[Callable[..., Any]] = getattr(owner, name, None)
        if not callable(found):
            functions = [n for n, value in vars(owner).items() if inspect.isfunction(value)]
            hint = did_you_mean(name, functions)
            raise PluginError(f"host module {owner.__name__!r} has no function {name!r}{hint}")
        return found

    def _check_parameters(self, phase: PhaseFunction, function: Callable[..., Any]) -> None:
        """A profile that was made for this host is held to what it says. The one that everybody
        has is not, before a plugin wants the phase: without any, a fork may be as it likes."""
        if self.profile is RFQUANT:
            return
        for field, parameter in phase.parameters().items():
            try:
                require(phase, inspect.signature(function), parameter)
            except PluginError as error:
                where = f"profile {self.profile.name!r}: {phase.phase}: {field}"
                raise PluginError(f"{where}: {error}") from None

    def _wrap(self, owner: ModuleType, name: str, wrapper_of: Wrap) -> None:
        original = self._function(owner, name)
        wrapper = functools.wraps(original)(wrapper_of(original))
        self._patches.replace(owner, original, wrapper)

    def _bit_widths(self, config: Any) -> Optional[BitWidths]:
        widths: Optional[BitWidths] = self.session.manager.hook.rfquant_bit_widths(config=config)
        return widths

    def _reading(self, repairs: Repairs) -> Wrap:
        def wrapper_of(original: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                if not self._live:
                    return original(*args, **kwargs)
                try:
                    with repairs.while_reading():
                        config = original(*args, **kwargs)
                except SystemExit:  # after --help, say
                    self.session.expects_no_run()
                    raise
                repairs.check_settings(config)
                self.session.configure(config)
                repairs.after_config(config)
                return config

            return wrapper

        return wrapper_of

    def _after(self, notify: Callable[[Any], None]) -> Wrap:
        def wrapper_of(original: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                result = original(*args, **kwargs)
                if self._live:
                    notify(result)
                return result

            return wrapper

        return wrapper_of

    def _around(self, phase: PhaseFunction, repairs: Repairs) -> Wrap:
        def wrapper_of(original: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                if not self._live:
                    return original(*args, **kwargs)
                repairs.before_phase(phase, original, args, kwargs)
                return self.session.run_phase(phase, original, args, kwargs)

            return wrapper

        return wrapper_of
