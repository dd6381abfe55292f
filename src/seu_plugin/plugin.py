"""The entry point: what the plugin tells a host before it knows that it is wanted.

Imports neither torch nor pydantic: a run without the section costs nothing. The working object
is :class:`seu_plugin.host.runtime.Runtime`, registered only when the section is there.
"""

from __future__ import annotations

import sys
from typing import Any, Mapping, Sequence

import pluggy

from rfquant_hooks.contract import hookimpl, setting

from .errors import ConfigError
from .settings.place import SECTION, check_place

_RUNTIME = "seu-runtime"


@hookimpl
def rfquant_host_modules() -> Mapping[str, str]:
    return {"util.fault_injector": "seu_plugin.compat"}


#: Options of rfquant-run that stand for a key of ``campaign``.
_OPTIONS = {
    "shard": "I/N: run only every N-th trial of the campaign, from the I-th on (0 <= I < N)",
    "workers": "N: number of processes that run the trials of the campaign",
    "output": "DIR: folder of the results of the campaign",
}


@hookimpl
def rfquant_options() -> Mapping[str, str]:
    return {f"--{name}": meaning for name, meaning in _OPTIONS.items()}


@hookimpl
def rfquant_configure(
    config: Any, manager: pluggy.PluginManager, options: Mapping[str, str]
) -> None:
    settings = config if isinstance(config, Mapping) else vars(config)
    chosen = {name: options[name] for name in _OPTIONS if name in options}
    runtime: Any = manager.get_plugin(_RUNTIME)
    section: Any = None
    check_place(settings)
    if SECTION in settings:
        from .settings.section import parse_section
        from .settings.text import check_text, place_of, sources

        files = sources(sys.argv[1:])
        for path in files:
            check_text(path)

        def where(keys: Sequence[str]) -> str:
            of_an_option = keys[:1] == ["campaign"] and set(keys[1:]) & set(chosen)
            return "" if of_an_option else place_of(files, keys)

        section = parse_section(_with_options(settings[SECTION], chosen), where)
        if not section.enabled:
            section = None
    else:
        _with_options(None, chosen)
    if runtime is not None:
        if section != runtime.requested:
            raise ConfigError(
                f"{SECTION}: this run was configured with another section before; call "
                "rfquant_hooks.uninstrument() and instrument() between runs"
            )
    elif section is not None:
        from .host.runtime import Runtime

        if section.bit_width_config is not None and setting(config, "search", False):
            raise ConfigError(
                f"{SECTION}.bit_width_config: cannot be combined with search: true, which "
                "evaluates the widths that it finds; remove the key"
            )
        manager.register(Runtime(section, config), _RUNTIME)


def _with_options(section: Any, chosen: Mapping[str, str]) -> Any:
    """The section as the command line changes it; the host's own is left alone."""
    if not chosen:
        return section
    campaign = section.get("campaign") if isinstance(section, Mapping) else None
    if not isinstance(campaign, Mapping):
        raise ConfigError(
            f"--{next(iter(chosen))}: is for a campaign, and the configuration has no "
            f"{SECTION}.campaign"
        )
    values = {k: int(v) if k == "workers" and v.isdecimal() else v for k, v in chosen.items()}
    return {**section, "campaign": {**campaign, **values}}
