"""The entry point: what the plugin tells a host before it knows that it is wanted.

Imports neither torch nor pydantic: a run without the section costs nothing. The working object
is :class:`seu_plugin.runtime.Runtime`, registered only when the section is there.
"""

from __future__ import annotations

from typing import Any, Mapping

import pluggy

from rfquant_hooks.contract import hookimpl, setting

from .errors import ConfigError, nearest

_SECTION = "fault_injection"
_RUNTIME = "seu-runtime"


@hookimpl
def rfquant_host_modules() -> Mapping[str, str]:
    return {"util.fault_injector": "seu_plugin.compat"}


@hookimpl
def rfquant_configure(config: Any, manager: pluggy.PluginManager) -> None:
    settings = config if isinstance(config, Mapping) else vars(config)
    runtime: Any = manager.get_plugin(_RUNTIME)
    section: Any = None
    if _SECTION in settings:
        from .config import parse_section

        section = parse_section(settings[_SECTION])
        if not section.enabled:
            section = None
    else:
        for name in settings:
            # Its user would believe a clean run to be a faulted one.
            if nearest(str(name).lower(), [_SECTION], cutoff=0.85):
                raise ConfigError(f"{name}: unknown section; did you mean {_SECTION!r}?")
    if runtime is not None:
        if section != runtime.requested:
            raise ConfigError(
                f"{_SECTION}: this run was configured with another section before; call "
                "rfquant_hooks.uninstrument() and instrument() between runs"
            )
    elif section is not None:
        from .runtime import Runtime

        if section.bit_width_config is not None and setting(config, "search", False):
            raise ConfigError(
                f"{_SECTION}.bit_width_config: cannot be combined with search: true, which "
                "evaluates the widths that it finds; remove the key"
            )
        manager.register(Runtime(section), _RUNTIME)
