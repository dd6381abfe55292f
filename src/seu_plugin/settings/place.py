"""Where the section stands in a host's configuration. Standard library only: asked in every run."""

from __future__ import annotations

from typing import Any, Mapping

from ..errors import ConfigError, nearest

SECTION = "fault_injection"
#: Levels of a configuration that are searched for a section that was indented by mistake.
_DEEPEST = 4


def check_place(settings: Mapping[Any, Any]) -> None:
    """Raise ConfigError if the section lies inside another, or if a key at the top is meant to be
    it: it would not be read, and a clean run would be taken for one under upsets."""
    waiting = [(str(key), value, 1) for key, value in settings.items() if key != SECTION]
    seen = set()
    while waiting:
        place, value, depth = waiting.pop()
        if id(value) in seen or depth > _DEEPEST:  # an alias
            continue
        seen.add(id(value))
        if isinstance(value, (list, tuple)):
            waiting += [(f"{place}[{n}]", inner, depth + 1) for n, inner in enumerate(value)]
        elif isinstance(value, Mapping):
            if SECTION in value:
                raise ConfigError(
                    f"{place}.{SECTION}: must stand at the top of the configuration, not inside "
                    f"{place}: check its indentation"
                )
            waiting += [(f"{place}.{key}", inner, depth + 1) for key, inner in value.items()]
    if SECTION not in settings:
        for name in settings:
            if nearest(str(name).lower(), [SECTION], cutoff=0.85):
                raise ConfigError(f"{name}: unknown section; did you mean {SECTION!r}?")
