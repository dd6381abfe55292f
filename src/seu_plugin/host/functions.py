"""Functions of a user's own, found by name: ``package.module:function``, ``file.py:function``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Iterator, Sequence

from torch import nn

from ..errors import ConfigError, InjectionError, did_you_mean
from ..fields import shown


def find_function(option: str, name: str, arguments: Sequence[str] = ()) -> Callable[..., Any]:
    """What ``option`` names, which is to be called with so many ``arguments`` (their names, for
    messages). A module is looked for in the working directory first; a file's folder goes on the
    path, as that of a script does.

    Raises ConfigError for a module or function that is not there, or not to be called so; what
    the module itself raises is left alone.
    """
    place, colon, function = name.rpartition(":")
    if not colon or not place or not function.isidentifier():
        raise ConfigError(
            f"{option}: must be module:function or file.py:function; received {shown(name)}"
        )
    module = _of_file(option, place) if place.endswith(".py") else _of_name(option, place)
    found = getattr(module, function, None)
    if found is None:
        known = [key for key, value in vars(module).items() if callable(value)]
        raise ConfigError(
            f"{option}: {place} has no function {function!r}{did_you_mean(function, known)}"
        )
    if isinstance(found, nn.Module) or not callable(found):
        raise ConfigError(f"{option}: {name} must be a function; received a {type(found).__name__}")
    _check_signature(f"{option}: {name}", found, arguments)
    return found  # type: ignore[no-any-return]


@contextmanager
def not_to_end(what: str) -> Iterator[None]:
    """The user's code is not to end the process: nothing would have been injected, and the exit
    code might say that all is well. Raises InjectionError."""
    try:
        yield
    except SystemExit as error:
        raise InjectionError(
            f"{what} ended the process (SystemExit: {shown(error.code)}); code of a script belongs "
            'under if __name__ == "__main__"'
        ) from error


def _of_name(option: str, name: str) -> ModuleType:
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ConfigError(f"{option}: {name!r} is no name of a module, nor a file ending in .py")
    _first_on_path(Path.cwd())
    importlib.invalidate_caches()
    try:
        return _imported(option, name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # of the user's own imports
        above, _, last = error.name.rpartition(".")
        where = getattr(sys.modules.get(above), "__path__", []) if above else [str(Path.cwd())]
        near = did_you_mean(last, [one.name for one in pkgutil.iter_modules(where)])
        raise ConfigError(
            f"{option}: no module {error.name!r} in {above or Path.cwd()}"
            f"{'' if above else ' or on the path of Python'}{near}"
        ) from error


def _of_file(option: str, name: str) -> ModuleType:
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*.py")])
        raise ConfigError(f"{option}: {name}: no such file{near}")
    if "." in path.stem:
        raise ConfigError(
            f"{option}: {name}: a file with a dot in its name is no module; rename it"
        )
    _first_on_path(path.parent)
    importlib.invalidate_caches()
    module = _imported(option, path.stem)
    there = getattr(module, "__file__", None)
    if there is None or Path(there).resolve() != path:
        raise ConfigError(
            f"{option}: {name}: Python has another module {path.stem!r} ({there or 'builtin'}); "
            "rename the file"
        )
    return module


def _imported(option: str, name: str) -> ModuleType:
    with not_to_end(f"{option}: importing {name}"):
        return importlib.import_module(name)


def _first_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _check_signature(what: str, function: Callable[..., Any], arguments: Sequence[str]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of C: it says so itself when it is called
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        call = (
            f"called with {', '.join(arguments)} alone" if arguments else "called without arguments"
        )
        raise ConfigError(f"{what} is {call} and cannot be: {error}") from None
