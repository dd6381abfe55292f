"""Put a host under hooks without editing it, and take it out again without a trace."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from .contract import PluginError
from .manager import create_manager
from .process_end import ProcessEnd
from .profiles import RFQUANT, HostProfile, PhaseFunction
from .served import ServedModules
from .session import Session

_active: Optional[Instrumentation] = None


def instrument(
    profile: HostProfile = RFQUANT,
    plugins: Iterable[object] = (),
    blocked: Iterable[str] = (),
    entry_points: bool = True,
) -> Session:
    """Wrap the host's functions in place, so that its phases reach the plugins.

    The host must be importable (its folder on ``sys.path``). Call it before or after the host
    copied names with ``from process import validate``: copies in the host's modules are
    replaced too. A second call returns the session of the first. Undone by
    :func:`uninstrument`.

    The session closes when the process exits, if nobody closed it before; a PluginError is then
    shown as one line and the exit code is 2.

    Raises PluginError if the host lacks a module or function of ``profile``.
    """
    global _active
    if _active is None:
        session = Session(create_manager(plugins, blocked, entry_points))
        instrumentation = Instrumentation(profile, session)
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

    def __init__(self, profile: HostProfile, session: Session) -> None:
        self.profile = profile
        self.session = session
        self._wrapped: List[Tuple[ModuleType, Callable[..., Any], Callable[..., Any]]] = []
        self._finder: Optional[ServedModules] = None
        self._end: Optional[ProcessEnd] = None
        self._live = False

    def apply(self) -> None:
        served: Dict[str, str] = {}
        for offer in self.session.manager.hook.rfquant_host_modules():
            served.update(offer)
        # Last in line: a module that the host has itself is found before ours.
        self._finder = ServedModules(served)
        sys.meta_path.append(self._finder)

        modules = self._import_host()
        self._live = True
        name, function = self.profile.read_config
        self._wrap(modules[name], function, self._after(self.session.configure))
        name, function = self.profile.build_model
        self._wrap(modules[name], function, self._after(self.session.model_built))
        for phase in self.profile.phases:
            if phase.module in modules:
                self._wrap(modules[phase.module], phase.function, self._around(phase))
        self._end = ProcessEnd(self.session)

    def undo(self) -> None:
        self._live = False
        if self._end is not None:
            self._end.uninstall()
            self._end = None
        while self._wrapped:
            owner, original, wrapper = self._wrapped.pop()
            _replace(owner, wrapper, original)  # also copies that were taken meanwhile
        if self._finder is not None:
            self._finder.remove()
            self._finder = None

    def _import_host(self) -> Dict[str, ModuleType]:
        modules: Dict[str, ModuleType] = {}
        for name, required in self.profile.modules().items():
            if _exists(name):
                modules[name] = importlib.import_module(name)
            elif required:
                raise PluginError(
                    f"host {self.profile.name!r} has no module {name!r} on the import path: "
                    "give rfquant-run the host's main.py, or run from the host's folder"
                )
        return modules

    def _wrap(
        self,
        owner: ModuleType,
        name: str,
        wrapper_of: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        original = getattr(owner, name, None)
        if not callable(original):
            raise PluginError(f"host module {owner.__name__!r} has no function {name!r}")
        wrapper = functools.wraps(original)(wrapper_of(original))
        self._wrapped.append((owner, original, wrapper))
        _replace(owner, original, wrapper)

    def _after(
        self, notify: Callable[[Any], None]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrapper_of(original: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                result = original(*args, **kwargs)
                if self._live:
                    notify(result)
                return result

            return wrapper

        return wrapper_of

    def _around(self, phase: PhaseFunction) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrapper_of(original: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                if not self._live:
                    return original(*args, **kwargs)
                return self.session.run_phase(phase, original, args, kwargs)

            return wrapper

        return wrapper_of


def _exists(name: str) -> bool:
    parent = name.rpartition(".")[0]
    if parent and not _exists(parent):
        return False
    return name in sys.modules or importlib.util.find_spec(name) is not None


def _replace(owner: ModuleType, old: Any, new: Any) -> None:
    """Put ``new`` where the host's modules hold ``old``."""
    for module in _host_modules(owner):
        for key, value in list(vars(module).items()):
            if value is old:
                setattr(module, key, new)


def _host_modules(owner: ModuleType) -> Iterable[ModuleType]:
    """``owner``, ``__main__`` and every loaded module of the same host."""
    depth = owner.__name__.count(".") + (owner.__package__ == owner.__name__)
    root = Path(owner.__file__ or "").resolve().parents[depth]
    yield owner
    for module in list(sys.modules.values()):
        if module is owner:
            continue
        file = getattr(module, "__file__", None)
        in_host = file is not None and root in Path(file).resolve().parents
        if in_host or getattr(module, "__name__", "") == "__main__":
            yield module
