"""Kinds of arguments that several commands take."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click


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
