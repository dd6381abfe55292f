"""``seu check``: what the section of YAML files asks for, and whether it can be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence

import yaml

from .config import SECTION, parse_section
from .errors import ConfigError, did_you_mean
from .runtime import Runtime


def checked(config: Sequence[Path]) -> List[str]:
    """What the files ask for, for people; later files win, as in the host. Raises ConfigError."""
    merged: Dict[str, Any] = {}
    for path in config:
        merged = _merged(merged, _read_yaml(path))
    if SECTION not in merged:
        names = ", ".join(map(str, config))
        raise ConfigError(f"{names}: has no section {SECTION}{did_you_mean(SECTION, merged)}")
    section = parse_section(merged[SECTION])
    if not section.enabled:
        return [f"{SECTION}: ok; not enabled, so the host runs as without it"]
    runtime = Runtime(section)
    phases = [
        name
        for name, on in (
            ("train", section.enable_in_training),
            ("validate", section.enable_in_inference),
            ("search", section.enable_in_search),
        )
        if on
    ]
    ber = f"BER {section.ber:g}"
    if section.mode == "exact_count":
        ber = f"{section.upsets} upsets"
    if section.campaign is not None:
        ber = f"campaign of {section.campaign.trials} trials"
        if section.grid:
            ber += f" at each of {len(section.grid)} BERs"
    how = "" if section.mode == "ber" else f" of mode {section.mode}"
    lines = [f"{SECTION}: ok; {ber}{how} in {' and '.join(phases)}"]
    for rule in section.protection:
        of = ", ".join(rule.layers.include)
        lines.append(f"protection: {rule.scheme} of bits {rule.bits} of {of}")
    if runtime.widths is not None:
        lines.append(f"bit widths: {runtime.widths.source}, {len(runtime.widths.weights)} layers")
    return lines


def _merged(first: Dict[str, Any], later: Dict[str, Any]) -> Dict[str, Any]:
    """As the host merges its files (util/config.py, merge_nested_dict)."""
    both = dict(first)
    for key, value in later.items():
        nested = isinstance(value, dict) and isinstance(first.get(key), dict)
        both[key] = _merged(first[key], value) if nested else value
    return both


def _read_yaml(path: Path) -> Any:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text ({error.reason})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must be a mapping of settings")
    return data
