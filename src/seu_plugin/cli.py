"""The ``seu`` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Tuple

import click
import yaml

from . import __version__
from .config import SECTION, FaultInjectionSection, parse_section
from .errors import ConfigError, did_you_mean

HELP = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=HELP)
@click.version_option(__version__, prog_name="seu")
def cli() -> None:
    """Single-event upsets in the weight memory of quantized networks.

    Runs are started with rfquant-run; this command helps with their configuration.
    """


@cli.command()
@click.argument("config", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
def check(config: Tuple[Path, ...]) -> None:
    """Check the fault_injection section of YAML files, and the files that it names.

    Later files win, as in the host. Needs no model and no GPU.
    """
    from .runtime import Runtime

    merged: Dict[str, Any] = {}
    for path in config:
        merged = _merged(merged, _read_yaml(path))
    if SECTION not in merged:
        names = ", ".join(map(str, config))
        raise ConfigError(f"{names}: has no section {SECTION}{did_you_mean(SECTION, merged)}")
    section = parse_section(merged[SECTION])
    if not section.enabled:
        click.echo(f"{SECTION}: ok; not enabled, so the host runs as without it")
        return
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
    click.echo(f"{SECTION}: ok; BER {section.ber:g} in {' and '.join(phases)}")
    if runtime.widths is not None:
        click.echo(f"bit widths: {runtime.widths.source}, {len(runtime.widths.weights)} layers")


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the section, for editors that complete YAML from it."""
    inner = FaultInjectionSection.model_json_schema()
    definitions = inner.pop("$defs", {})
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {SECTION: inner},
        "$defs": definitions,
    }
    click.echo(json.dumps(document, indent=2))


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


def main() -> None:
    """Entry point: a mistake of the user's is one line and exit code 2."""
    from rfquant_hooks.contract import PluginError

    try:
        cli()
    except PluginError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
