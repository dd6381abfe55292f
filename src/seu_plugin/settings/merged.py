"""The section of YAML files, of which later ones win, and of a command line. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Sequence, Tuple

from ..errors import ConfigError, nearest
from ..fields import shown
from .place import check_place
from .section import SECTION, FaultInjectionSection, parse_section
from .text import load_value, load_yaml, place_of


class Change(NamedTuple):
    """``a.b=value``: a key of the section, and what it is set to. ``text``: as it was given."""

    keys: Tuple[str, ...]
    value: Any
    text: str


def read_section(
    files: Sequence[Path], changes: Sequence[str] = ()
) -> Tuple[FaultInjectionSection, Dict[str, Any]]:
    """The section of ``files`` as ``changes`` (``a.b=value``) leave it, and the whole configuration
    without them. Raises ConfigError, also if there is no section."""
    merged: Dict[str, Any] = {}
    for path in files:
        try:
            merged = _merged(merged, load_yaml(path))
        except RecursionError:
            raise ConfigError(f"{path}: an alias in it contains itself") from None
    check_place(merged)
    if SECTION not in merged:
        names = ", ".join(map(str, files))
        near = nearest(SECTION, map(str, merged))
        hint = f"; is {near!r} meant to be it?" if near else ""
        raise ConfigError(f"{names}: has no section {SECTION}{hint}")
    parsed = [parse_change(text) for text in changes]

    def where(keys: Sequence[str]) -> str:
        for change in reversed(parsed):
            if tuple(keys[: len(change.keys)]) == change.keys:
                return f"--set {change.text}: "
        return place_of(files, keys)

    return parse_section(changed(merged[SECTION], parsed), where), merged


def parse_change(text: str) -> Change:
    """Raises ConfigError for what is not ``a.b=value``."""
    key, equals, value = text.partition("=")
    keys = tuple(key.strip().split("."))
    if not equals or not all(keys) or not value.strip():
        raise ConfigError(
            f"--set {text}: must be KEY=VALUE, for example campaign.trials=50 (nothing is null)"
        )
    if keys[0] == SECTION:
        raise ConfigError(
            f"--set {text}: keys are those below {SECTION}: write {'.'.join(keys[1:])}={value}"
        )
    place = ".".join([SECTION, *keys])
    return Change(keys, load_value(f"--set {text}", value, place), text)


def changed(section: Any, changes: Sequence[Change]) -> Any:
    """``section`` as ``changes`` leave it, one after the other; a mapping that is not there is
    made. Raises ConfigError for a key inside of what is no mapping."""
    for change in changes:
        section = _with(section, change, 0)
    return section


def _with(old: Any, change: Change, depth: int) -> Any:
    if depth == len(change.keys):
        return change.value
    if old is not None and not isinstance(old, Mapping):
        place = ".".join([SECTION, *change.keys[:depth]])
        raise ConfigError(f"--set {change.text}: {place} has no keys; it is {shown(old)}")
    key, inside = change.keys[depth], old or {}
    return {**inside, key: _with(inside.get(key), change, depth + 1)}


def _merged(first: Dict[str, Any], later: Dict[str, Any]) -> Dict[str, Any]:
    """As the host merges its files (util/config.py, merge_nested_dict)."""
    both = dict(first)
    for key, value in later.items():
        nested = isinstance(value, dict) and isinstance(first.get(key), dict)
        both[key] = _merged(first[key], value) if nested else value
    return both
