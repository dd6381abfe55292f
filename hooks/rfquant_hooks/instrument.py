"""Put a host under hooks without editing it, and take it out again without a trace."""

from __future__ import annotations

import atexit
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from .contract import PluginError
from .manager import create_manager
from .profiles import RFQUANT, HostProfile, PhaseFunction
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
    :func:`uninstrument`. The session closes when the process exits, if nobody closed it before.

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
        atexit.register(_close_at_exit)
    return _active.session


def uninstrument() -> None:
    """Undo :func:`instrument` exactly. Does nothing when nothing is instrumented."""
    global _active
    if _active is not None:
        atexit.unregister(_close_at_exit)
        _active.undo()
        _active = None


def _close_at_exit() -> None:
    # A host that was asked to inject and did not must not exit with 0: an exception raised in
    # an atexit handler would be printed and forgotten.
    if _active is None:
        return
    try:
        _active.session.close()
    except PluginError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)


class Instrumentation:
    """The changes made to one host, and how to undo them."""

    def __init__(self, profile: HostProfile, session: Session) -> None:
        self.profile = profile
        self.session = session
        self._undo: List[Tuple[ModuleType, str, Any]] = []
        self._finder: Optional[_ServedModules] = None
        self._live = False

    def apply(self) -> None:
        served: Dict[str, str] = {}
        for offer in self.session.manager.hook.rfquant_host_modules():
            served.update(offer)
        # Last in line: a module that the host has itself is found before ours.
        self._finder = _ServedModules(served)
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

    def undo(self) -> None:
        self._live = False
        while self._undo:
            owner, name, original = self._undo.pop()
            setattr(owner, name, original)
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
        for module in _host_modules(owner):
            for key, value in list(vars(module).items()):
                if value is original:
                    self._undo.append((module, key, original))
                    setattr(module, key, wrapper)

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


class _ServedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules under host names that plugins serve; imports them when asked for."""

    def __init__(self, served: Dict[str, str]) -> None:
        self._served = served
        self._loaded: Dict[str, ModuleType] = {}

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]] = None,
        target: Optional[ModuleType] = None,
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname not in self._served:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        source = importlib.import_module(self._served[module.__name__])
        names = getattr(source, "__all__", [n for n in vars(source) if not n.startswith("_")])
        module.__dict__.update({name: getattr(source, name) for name in names})
        module.__doc__ = source.__doc__
        self._loaded[module.__name__] = module

    def remove(self) -> None:
        sys.meta_path.remove(self)
        for name, module in self._loaded.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
            parent, _, child = name.rpartition(".")
            holder = sys.modules.get(parent)
            if holder is not None and getattr(holder, child, None) is module:
                delattr(holder, child)
        self._loaded.clear()
