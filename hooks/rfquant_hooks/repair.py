"""What a repair is: a named defect of a host, when to look for it, what it may look at."""

from __future__ import annotations

import ast
import os
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, ClassVar, Iterator, List, Mapping, Optional, Set

from .contract import BitWidths
from .patching import Patches, belongs, host_folder, host_modules
from .profiles import HostProfile, PhaseFunction


class Host:
    """A loaded host as repairs see it. Changes go through ``patches``, to be undone."""

    def __init__(
        self,
        profile: HostProfile,
        reader: ModuleType,
        bit_widths: Callable[[Any], Optional[BitWidths]],
    ) -> None:
        self.profile = profile
        self.reader = reader  # the module that reads the configuration
        self.bit_widths = bit_widths
        self.patches = Patches()
        self.folder = host_folder(reader)
        self._reported: Set[str] = set()

    def modules(self) -> Iterator[ModuleType]:
        """The host's loaded modules, its script among them."""
        yield from host_modules(self.reader)

    def module(self, name: str) -> Optional[ModuleType]:
        """The host's module ``name``, if it is loaded."""
        module = sys.modules.get(name)
        return module if belongs(module, self.folder) else None

    def nodes(self, word: str) -> Iterator[ast.AST]:
        """The syntax of those modules of the host whose text has ``word``."""
        for module in self.modules():
            if word in source(module):
                yield from ast.walk(syntax(module))

    def keyword_values(self, function: str, keyword: str) -> List[ast.expr]:
        """What the host's modules pass to ``function`` as ``keyword``, as syntax trees."""
        return [
            argument.value
            for call in self.nodes(function)
            if isinstance(call, ast.Call)
            and function == getattr(call.func, "id", getattr(call.func, "attr", None))
            for argument in call.keywords
            if argument.arg == keyword
        ]

    def report(self, name: str, what: str) -> None:
        """Tell once, on the first rank, that repair ``name`` was applied."""
        if name not in self._reported and os.environ.get("RANK") in (None, "0"):
            print(f"rfquant-run: repaired {name}: {what}", flush=True)
        self._reported.add(name)


class Repair:
    """One defect. Acts at any of three moments, and only if it finds the defect there."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def __init__(self, host: Host) -> None:
        self.host = host

    def report(self, what: str) -> None:
        self.host.report(self.name, what)

    def before_config(self, patches: Patches) -> None:
        """The host is about to read its configuration; ``patches`` last until it has."""

    def after_config(self, config: Any) -> None:
        """The configuration was read, and the plugins have seen it."""

    def before_phase(self, phase: PhaseFunction, arguments: Mapping[str, Any]) -> None:
        """``phase`` is about to run with these arguments, defaults included."""


def source(module: ModuleType) -> str:
    """The text of a module; empty where there is none to read."""
    file = getattr(module, "__file__", None)
    if not file or Path(file).suffix != ".py":
        return ""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def syntax(module: ModuleType) -> ast.AST:
    """The syntax tree of a module; an empty one where its text cannot be parsed."""
    return _parsed(source(module))


@lru_cache(maxsize=64)
def _parsed(text: str) -> ast.AST:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])
