"""Kinds of arguments that several commands take."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError, printable


class Finite(click.FloatRange):
    """A range that NaN is not in."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class Count(click.IntRange):
    """A whole number, 42.8e6 say."""

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            whole = float(value)
        except (TypeError, ValueError):
            whole = math.nan
        if math.isfinite(whole) and whole == int(whole) and not str(value).strip().isdigit():
            value = int(whole)
        return int(super().convert(value, param, ctx))


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FOLDER_TO_BE = click.Path(file_okay=False, path_type=Path)

FILE_TO_BE = click.Path(dir_okay=False, path_type=Path)
#: Of a file that is written: files.check_writable says what is wrong with it.
FILE_TO_WRITE = click.Path(path_type=Path)

YES = click.option("-y", "--yes", is_flag=True, help="Run the command of DIR without asking.")


def confirm(folder: Path, yes: bool) -> None:
    """Show the command that a folder names, and go on after a yes: a folder of results that came
    from elsewhere is a program. Raises ConfigError where nobody can be asked."""
    from ..analysis.manifest import read_manifest

    manifest = read_manifest(folder)
    command = manifest["command"]
    if not command or yes:  # without one, whoever wants to run it says so
        return
    # Escaped: what stands here must not be able to hide itself on a terminal.
    click.echo(f"{folder} runs, in {printable(str(manifest['cwd']))}:", err=True)
    click.echo(f"  {printable(shlex.join(command))}", err=True)
    if not sys.stdin.isatty():
        raise ConfigError(f"{folder}: names the command above; --yes runs it without asking")
    click.confirm("Run it?", abort=True, err=True)
