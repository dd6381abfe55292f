"""Pieces that the sections of the YAML share. No torch."""

from __future__ import annotations

import numbers
import re
from typing import Any

from pydantic import BaseModel, ConfigDict

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Frozen(BaseModel):
    """Settings: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def number(value: Any, what: str = "must be a number") -> float:
    """``value`` as a float64. PyYAML reads 1e-6 as a string (YAML 1.1 wants a dot in the
    mantissa). Raises ValueError for anything else, and for what float64 would read as 0."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        if float(value) == 0.0 and re.search("[1-9]", re.split("[eE]", value)[0]):
            raise ValueError("is too small for a float64, which would read it as 0")
        return float(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(what)
    return float(value)


def integer(value: Any) -> Any:
    """``value`` as an int if it is one, of numpy, say; a bool is left to fail."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if is_integer else value
