"""Changes to a loaded host, and how to take them back exactly."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Iterable, List, MutableMapping

_MISSING: Any = object()
#: An environment that lies in the host's folder is no part of the host.
_INSTALLED = {"site-packages", "dist-packages"}


class Patches:
    """What was changed, undone in reverse order."""

    def __init__(self) -> None:
        self._undo: List[Callable[[], None]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute; one that ``owner`` only inherited is deleted again."""
        old = vars(owner).get(name, _MISSING)
        setattr(owner, name, value)
        if old is _MISSING:
            self._undo.append(lambda: delattr(owner, name))
        else:
            self._undo.append(lambda: setattr(owner, name, old))

    def item(self, mapping: MutableMapping[str, Any], key: str, value: Any) -> None:
        old = mapping.get(key, _MISSING)
        mapping[key] = value

        def undo() -> None:
            if old is not _MISSING:
                mapping[key] = old
            else:
                mapping.pop(key, None)

        self._undo.append(undo)

    def replace(self, owner: ModuleType, old: Any, new: Any) -> None:
        """Put ``new`` where the modules of ``owner``'s host hold ``old``."""
        _replace(owner, old, new)
        self._undo.append(lambda: _replace(owner, new, old))  # also copies taken meanwhile

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()


def exists(name: str) -> bool:
    """Whether module ``name`` is loaded or can be found."""
    if name in sys.modules:
        return True
    parent = name.rpartition(".")[0]
    if parent and not (exists(parent) and hasattr(importlib.import_module(parent), "__path__")):
        return False  # find_spec would raise for a name inside a module that is no package
    return importlib.util.find_spec(name) is not None


def host_folder(owner: ModuleType) -> Path:
    """The host's folder, from one of its modules."""
    package = hasattr(owner, "__path__")
    return Path(owner.__file__ or "").resolve().parents[owner.__name__.count(".") + package]


def host_modules(owner: ModuleType) -> Iterable[ModuleType]:
    """``owner``, ``__main__`` and every loaded module of the same host."""
    root = host_folder(owner)
    yield owner
    for module in list(sys.modules.values()):
        if module is owner:
            continue
        if belongs(module, root) or getattr(module, "__name__", "") == "__main__":
            yield module


def belongs(module: Any, root: Path) -> bool:
    """Whether ``module`` was loaded from the host's folder ``root``."""
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    path = Path(file)
    return _lies_in(path if path.is_absolute() else path.absolute(), root)


@cache
def _lies_in(path: Path, root: Path) -> bool:
    # Asked of thousands of modules, several times: links are followed once for each folder.
    folder = path.resolve().parent if path.is_symlink() else _resolved(path.parent)
    inside = root == folder or root in folder.parents
    return inside and _INSTALLED.isdisjoint(folder.relative_to(root).parts)


@cache
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def _replace(owner: ModuleType, old: Any, new: Any) -> None:
    for module in host_modules(owner):
        for key, value in list(vars(module).items()):
            if value is old:
                setattr(module, key, new)
