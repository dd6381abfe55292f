"""Pieces that the sections of the YAML share. No torch."""

from __future__ import annotations

import numbers
import re
import reprlib
from collections import Counter
from fnmatch import fnmatchcase
from typing import Annotated, Any, Dict, Iterable, Literal, Tuple, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
)

from .errors import did_you_mean, printable

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
    try:
        return float(value)
    except OverflowError:
        raise ValueError("is too large for a float64") from None


def integer(value: Any) -> Any:
    """``value`` as an int if it is one, of numpy, say; a bool is left to fail."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if is_integer else value


_SIZE = re.compile(r"(\d+(?:\.\d+)?) *(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)")
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS.update({"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40})


def memory_size(value: Any) -> Any:
    """``auto``, or a number of bytes: 536870912, ``512 MiB``, ``2 GiB``, ``1.5 GB``. Raises
    ValueError for anything else."""
    if value == "auto" and isinstance(value, str):
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 0:
        return int(value)
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None:
        return int(float(found[1]) * _UNITS[found[2]])
    raise ValueError("must be auto, a number of bytes, or one with its unit: 512 MiB, 2 GiB")


class SizeWithUnit:
    """Marks a number of bytes that may be written with its unit, for the JSON Schema."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> Dict[str, Any]:
        units = "|".join(_UNITS)
        return {
            "anyOf": [
                {"const": "auto"},
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": rf"^ *\d+(\.\d+)? *({units}) *$"},
            ]
        }


def several(number: int, noun: str) -> str:
    """``1 upset``, ``2 upsets``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def counted_names(names: Iterable[str]) -> str:
    """``rfquant (21), torch.ao (2)``: how often each name comes; empty ones do not count."""
    counts = Counter(name for name in names if name)
    return ", ".join(f"{name} ({number})" for name, number in counts.items())


class OneOrMany:
    """Marks a list that may be written as its only element, for the JSON Schema."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> Dict[str, Any]:
        many = handler(core)
        return {"anyOf": [many["items"], many]}


BitSelection = Union[Literal["all", "msb", "lsb"], Tuple[StrictInt, ...]]


def bit_positions(value: Any) -> Any:
    """``all``, ``msb``, ``lsb`` or distinct positions, ascending. Raises ValueError."""
    if value in ("all", "msb", "lsb"):
        return value
    if isinstance(value, (list, tuple, range)) and value:
        integral = all(isinstance(v, numbers.Integral) for v in value)
        if integral and not any(isinstance(v, bool) for v in value):
            positions = sorted({int(v) for v in value})
            if len(positions) == len(value) and positions[0] >= 0 and positions[-1] <= 31:
                return tuple(positions)
    hint = did_you_mean(value, ("all", "msb", "lsb")) if isinstance(value, str) else ""
    raise ValueError(
        "must be all, msb, lsb or a list of distinct positions in 0 ... 31 "
        f"(0 = least significant){hint}"
    )


def selected_bits(bits: Any, width: int) -> int:
    """The bit positions of a word that :func:`bit_positions` names, as a mask."""
    if bits == "all":
        return (1 << width) - 1
    if bits == "msb":
        return 1 << (width - 1)
    if bits == "lsb":
        return 1
    return sum(1 << position for position in bits if position < width)


class LayerSelection(Frozen):
    """Glob patterns over site names. Every pattern must match at least one site."""

    include: Annotated[Tuple[StrictStr, ...], OneOrMany()] = Field(
        ("*",), min_length=1, description="which sites"
    )
    exclude: Annotated[Tuple[StrictStr, ...], OneOrMany()] = Field(
        (), description="which of those not"
    )

    @field_validator("include", "exclude", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    def includes(self, site: str) -> bool:
        """Whether a site of this name is meant."""
        return any(fnmatchcase(site, one) for one in self.include) and not any(
            fnmatchcase(site, one) for one in self.exclude
        )


class _Shown(reprlib.Repr):
    """``repr`` of what a user gave, of at most a line, whatever it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 3, 6, 8, 8
        self.maxstring = self.maxother = 80

    def repr_int(self, value: int, level: int) -> str:
        if value.bit_length() > 200:
            return f"an integer of about {int(value.bit_length() * 0.30103):,} digits"
        return repr(value)


_SHOWN = _Shown()


def shown(value: Any) -> str:
    """``value`` as an error line shows it: short, without its nested depths."""
    text = _SHOWN.repr(value)
    return text if len(text) <= 120 else f"{text[:100]} ..."


def said(message: str) -> str:
    """A message of pydantic's in the words of ours."""
    return message.replace("Value error, ", "", 1).replace("Input should be", "must be", 1)


def first_mistake(error: ValidationError) -> str:
    """The first mistake that pydantic found: the field, what is wrong, what was received."""
    mistake = error.errors()[0]
    where = printable(".".join(str(part) for part in mistake["loc"]))
    message = said(str(mistake["msg"]))
    if mistake["type"] == "missing":
        return f"{where}: is missing"
    if mistake["type"] == "extra_forbidden":
        return f"{where}: unknown field"
    received = (
        "" if mistake["type"] == "value_error" else f"; received {shown(mistake.get('input'))}"
    )
    return f"{where}{': ' if where else ''}{message[0].lower()}{message[1:]}{received}"
