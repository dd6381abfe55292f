"""The modules that a profile names: what goes wrong in an import is one line, and none may be the
script that is run."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple, Type

from .contract import PluginError
from .profiles import RFQUANT, HostProfile

#: What a module may raise while it is imported. An exit would pass for the host's own.
FAILURES: Tuple[Type[BaseException], ...] = (Exception, SystemExit)


@contextmanager
def importing(
    place: str, name: str, failures: Tuple[Type[BaseException], ...] = FAILURES
) -> Iterator[None]:
    """Around the import of module ``name``. Raises PluginError, with the ``place`` that names the
    module, where the import raises one of ``failures``."""
    try:
        yield
    except PluginError:
        raise
    except failures as error:
        raise PluginError(
            f"{place}: module {name!r} cannot be imported: {in_a_line(error)}"
        ) from error


def in_a_line(error: BaseException) -> str:
    """``Type: message``, short enough for a line."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 200 else f"{text[:180]} ... {text[-15:]}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def refuse_script(profile: HostProfile, script: Optional[str], running: bool = False) -> None:
    """Raise PluginError for a module of ``profile`` that is the ``script``: Python would load it a
    second time, and the host would not call the functions of that copy.

    A script that is ``running`` already may be named as ``__main__``. RFQuant's own profile, which
    everybody has, refuses nothing.
    """
    if profile is RFQUANT or script is None:
        return
    for name, functions in profile.functions().items():
        file = None if name == "__main__" else _file(name)
        if (name == "__main__" and not running) or _same(file, script):
            raise PluginError(
                f"profile {profile.name!r}: module {name!r} is the script that is run ({script}): "
                f"move {', '.join(functions)} into a module that the script imports"
            )


def _file(name: str) -> Optional[str]:
    """The file that module ``name`` is or would be loaded from; nothing is imported."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    path: Optional[Sequence[str]] = None
    origin: Optional[str] = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), path)
        if spec is None:
            return None
        origin, path = spec.origin, spec.submodule_search_locations or []
    return origin


def _same(file: Optional[str], script: str) -> bool:
    return file is not None and Path(file).resolve() == Path(script).resolve()
