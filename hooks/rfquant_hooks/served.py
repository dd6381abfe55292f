"""Modules that plugins serve under names of the host's."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Dict, Optional, Sequence


class ServedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
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
