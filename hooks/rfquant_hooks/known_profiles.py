"""Profiles by name: the one that is built in, and those of installed packages; or from a file."""

from __future__ import annotations

from importlib.metadata import EntryPoint, distributions
from typing import Dict, List

from .contract import PluginError
from .importing import FAILURES, in_a_line
from .profile_file import ENDINGS, read_profile
from .profiles import RFQUANT, HostProfile
from .spelling import did_you_mean, shown

#: Group of the entry points that give a profile: ``name = module:attribute``.
GROUP = "rfquant_profiles"


def find_profile(name: str) -> HostProfile:
    """The profile in a file (``name`` ends in .yaml, .yml or .json), or the one of that name.

    Raises PluginError if there is none, or if it is wrong.
    """
    if name.lower().endswith(ENDINGS):
        return read_profile(name)
    offered = _offered()
    if name == RFQUANT.name:
        return RFQUANT
    if name not in offered:
        known = [RFQUANT.name, *sorted(offered)]
        raise PluginError(
            f"profile {name!r}: there is none of that name{did_you_mean(name, known)} (profiles: "
            f"{', '.join(known)}; a file's name ends in {', '.join(ENDINGS)})"
        )
    if len(offered[name]) > 1:
        values = " and ".join(entry.value for entry in offered[name])
        raise PluginError(f"profile {name!r}: several packages have one: {values}")
    return _loaded(offered[name][0])


def _offered() -> Dict[str, List[EntryPoint]]:
    found: Dict[str, Dict[str, EntryPoint]] = {}
    for distribution in distributions():
        for entry in distribution.entry_points:
            if entry.group == GROUP:  # by value: a package may be found twice on the path
                found.setdefault(entry.name, {})[entry.value] = entry
    return {name: list(entries.values()) for name, entries in found.items()}


def _loaded(entry: EntryPoint) -> HostProfile:
    place = f"profile {entry.name!r}: {entry.value} (entry point of group {GROUP})"
    try:
        found = entry.load()
    except PluginError as error:
        raise PluginError(f"{place}: {error}") from None
    except FAILURES as error:
        raise PluginError(f"{place}: cannot be loaded: {in_a_line(error)}") from error
    if not isinstance(found, HostProfile):
        raise PluginError(f"{place}: must be a HostProfile; received {shown(found)}")
    return found
