"""What else a host's configuration says that upsets cannot go with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Optional

from rfquant_hooks.contract import setting

from ..errors import ConfigError
from ..settings.section import SECTION, FaultInjectionSection

#: Sections of a fork of the host that has an injector of its own, and our key for the same phase.
_FORKS = {"fault_aware_training": "enable_in_training", "fault_aware_search": "enable_in_search"}


def check_other_injectors(section: FaultInjectionSection, config: Any) -> None:
    """Raise ConfigError if the host's own injector is to be at work in a phase of ours."""
    for name, key in _FORKS.items():
        theirs = setting(config or {}, name)
        if theirs is not None and setting(theirs, "enabled", False) and getattr(section, key):
            raise ConfigError(
                f"{SECTION}.{key}: cannot be combined with {name}.enabled: two injectors would "
                "upset the same weights; switch one of them off"
            )


def check_checkpoint(config: Any) -> None:
    """Raise ConfigError if the configuration names a checkpoint that is not there when the host is
    about to evaluate: it does so with the weights that it was initialized with."""
    path = setting(setting(config or {}, "resume", {}) or {}, "path")
    if isinstance(path, str) and path and not is_there(find_file(path)):
        raise ConfigError(
            f"resume.path: no such file; received {path!r}: the network would be untrained"
        )


def find_file(path: str, host: Optional[Path] = None) -> Path:
    """``path`` as seen from the working directory, or else from the host's folder: ``host``, or
    that of the script that runs."""
    plain = Path(path).expanduser()
    beside_script = (host or Path(sys.argv[0]).resolve().parent) / plain
    missing = not is_there(plain)
    return beside_script if missing and beside_script.parent.is_dir() else plain


def find_existing(path: str, host: Optional[Path] = None) -> Path:
    """As :func:`find_file`. Raises ConfigError, naming both places, if it is in neither."""
    found = find_file(path, host)
    plain = Path(path).expanduser()
    if is_there(found) or plain.is_absolute() or found.absolute() == plain.absolute():
        return found  # reading it tells what is wrong
    raise ConfigError(f"{path}: no such file; tried {plain.absolute()} and {found.absolute()}")


def is_there(path: Path) -> bool:
    """Whether ``path`` exists; a name that cannot, too: reading it tells why."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return True
