"""The entry point: what the plugin tells a host before it knows that it is wanted.

Imports neither torch nor pydantic: a run without the section costs nothing. The working object
is :class:`seu_plugin.runtime.Runtime`, registered only when the section is there.
"""

from __future__ import annotations

from typing import Any, Mapping

import pluggy

from rfquant_hooks.contract import hookimpl

from .errors import ConfigError, nearest

_SECTION = "fault_injection"


@hookimpl
def rfquant_host_modules() -> Mapping[str, str]:
    return {"util.fault_injector": "seu_plugin.compat"}


@hookimpl
def rfquant_configure(config: Any, manager: pluggy.PluginManager) -> None:
    settings = config if isinstance(config, Mapping) else vars(config)
    if _SECTION not in settings:
        for name in settings:
            # Its user would believe a clean run to be a faulted one.
            if nearest(str(name), [_SECTION], cutoff=0.85):
                raise ConfigError(f"{name}: unknown section; did you mean {_SECTION!r}?")
        return
    from .config import parse_section

    section = parse_section(settings[_SECTION])
    if section.enabled:
        from .runtime import Runtime

        manager.register(Runtime(section), "seu-runtime")
