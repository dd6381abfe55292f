"""The plugin manager: specs, entry points, blocked names."""

from __future__ import annotations

import os
from importlib.metadata import distributions
from typing import Iterable

import pluggy

from . import hookspecs
from .contract import PROJECT, PluginError

#: Comma-separated names of entry points that are not to be loaded.
BLOCK_VARIABLE = "RFQUANT_BLOCK_PLUGINS"


def blocked_by_environment() -> Iterable[str]:
    return filter(None, (n.strip() for n in os.environ.get(BLOCK_VARIABLE, "").split(",")))


def create_manager(
    plugins: Iterable[object] = (),
    blocked: Iterable[str] = (),
    entry_points: bool = True,
) -> pluggy.PluginManager:
    """A manager with the specs, the entry points of group ``rfquant`` and ``plugins``.

    Raises PluginError for a plugin that implements an unknown hook, and for a blocked name
    that blocks nothing.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    names = [*blocked, *blocked_by_environment()]
    for name in names:
        manager.set_blocked(name)
    for plugin in plugins:
        manager.register(plugin)
    if entry_points:
        manager.load_setuptools_entrypoints(PROJECT)
        _check_blocked(names)
    check_pending(manager)
    return manager


def check_pending(manager: pluggy.PluginManager) -> None:
    """Raise PluginError if a registered plugin implements a hook that does not exist."""
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin with an unknown hook: {error}") from error


def _check_blocked(names: Iterable[str]) -> None:
    known = {e.name for d in distributions() for e in d.entry_points if e.group == PROJECT}
    for name in names:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise PluginError(f"cannot block plugin {name!r}: installed plugins are {allowed}")
