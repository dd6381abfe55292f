"""Upsets by name: bit 3 of word 812 of layer4.0.conv1. No torch."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..errors import ConfigError, did_you_mean
from ..fields import shown
from ..files import load_json, read_text
from .fault_map import MAX_WIDTH, FaultMap, as_masks, popcount


class Fault(NamedTuple):
    """One upset: the bit of that position (0 = least significant) of one stored word of a site.

    ``word`` counts the weights of the site's layer in the order of ``weight.flatten()``, from 0.
    """

    site: str
    word: int
    bit: int

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> Dict[str, Any]:
        whole = {"type": "integer", "minimum": 0}
        return {
            "type": "object",
            "properties": {"site": {"type": "string"}, "word": whole, "bit": whole},
            "required": list(cls._fields),
            "additionalProperties": False,
        }


class FaultFile(Tuple[Fault, ...]):
    """The faults of a file, which know the lines that they stand in."""

    path: Path
    lines: Tuple[int, ...]


def place_in(listed: Sequence[Fault], position: int) -> str:
    """Where one of a list stands, for messages."""
    if isinstance(listed, FaultFile):
        return f"{listed.path}, line {listed.lines[position]}"
    return f"[{position}]"


SUFFIXES = (".csv", ".jsonl")


def fault(value: Any) -> Fault:
    """A fault from (site, word, bit), or from a mapping with these keys. Raises ValueError."""
    if isinstance(value, Mapping):
        for key in value:
            if key not in Fault._fields:
                raise ValueError(f"unknown key {key!r}{did_you_mean(str(key), Fault._fields)}")
        missing = [key for key in Fault._fields if key not in value]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        value = tuple(value[key] for key in Fault._fields)
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise ValueError(f"must be site, word and bit; received {shown(value)}")
    site, word, bit = value
    if not isinstance(site, str) or not site:
        raise ValueError(f"site must be the name of a layer; received {shown(site)}")
    for name, number, limit in (("word", word, 1 << 32), ("bit", bit, MAX_WIDTH)):
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not whole or not 0 <= number < limit:
            raise ValueError(
                f"{name} must be an integer in 0 ... {limit - 1}; received {shown(number)}"
            )
    return Fault(site, int(word), int(bit))


def faults(values: Iterable[Any]) -> Tuple[Fault, ...]:
    """Distinct faults. Raises ValueError, naming the position of the first that is none."""
    found: Dict[Fault, None] = {}
    for position, value in enumerate(values):
        try:
            one = fault(value)
        except ValueError as error:
            raise ValueError(f"[{position}]: {error}") from None
        if one in found:
            raise ValueError(
                f"[{position}]: {one.site}, word {one.word}, bit {one.bit} comes twice"
            )
        found[one] = None
    return tuple(found)


def fault_maps(listed: Sequence[Fault]) -> Dict[str, FaultMap]:
    """The fault map of each site that is named."""
    words: Dict[str, Dict[int, int]] = {}
    for site, word, bit in listed:
        masks = words.setdefault(site, {})
        masks[word] = masks.get(word, 0) | 1 << bit
    maps = {}
    for site, masks in words.items():
        index = np.array(sorted(masks), dtype=np.int64)
        mask = as_masks([masks[word] for word in index.tolist()])
        maps[site] = FaultMap(index, mask, popcount(mask))
    return maps


def faults_of(site: str, fault_map: FaultMap) -> List[Fault]:
    """The upsets of a fault map, by word and bit."""
    pairs = zip(fault_map.index.tolist(), fault_map.mask.tolist())
    return [Fault(site, word, bit) for word, mask in pairs for bit in _bits(mask)]


def _bits(mask: int) -> List[int]:
    return [bit for bit in range(MAX_WIDTH) if mask >> bit & 1]


def read_faults(path: Path) -> Tuple[Fault, ...]:
    """The faults of a file: CSV with a header site,word,bit, or JSON lines of objects with these
    keys. Raises ConfigError, naming the line."""
    check_suffix(path)
    text = read_text(path)
    rows = _csv_rows(path, text) if path.suffix == ".csv" else _json_rows(path, text)
    found: Dict[Fault, int] = {}
    for line, row in rows:
        try:
            one = fault(row)
        except ValueError as error:
            raise ConfigError(f"{path}, line {line}: {error}") from None
        if one in found:
            raise ConfigError(f"{path}, line {line}: stands in line {found[one]} already")
        found[one] = line
    if not found:
        raise ConfigError(f"{path}: the list has no fault; name at least one, as site,word,bit")
    listed = FaultFile(found)
    listed.path, listed.lines = path, tuple(found.values())
    return listed


def check_suffix(path: Path) -> None:
    """Raise ConfigError unless the path is one of a list of faults."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: must end in {' or '.join(SUFFIXES)}")


def _csv_rows(path: Path, text: str) -> Iterable[Tuple[int, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        if sorted(header) != sorted(Fault._fields):
            raise ConfigError(f"{path}, line 1: must be site,word,bit; received {shown(header)}")
        for row in reader:
            if row:
                named = dict(zip(header, (cell.strip() for cell in row)))
                yield reader.line_num, _whole(named) if len(row) == len(header) else row
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: {error}") from None


def _whole(cells: Mapping[str, str]) -> Dict[str, Any]:
    numbers = {k: int(v) for k, v in cells.items() if v.isdecimal() and len(v) < 20 and k != "site"}
    return {**cells, **numbers}


def _json_rows(path: Path, text: str) -> Iterable[Tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, load_json(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path}, line {number}: is not JSON ({error})") from None


def faults_text(listed: Sequence[Fault], path: Path) -> str:
    """The contents of a file that :func:`read_faults` reads, in the format of ``path``'s name."""
    check_suffix(path)
    if path.suffix == ".jsonl":
        return "".join(json.dumps(one._asdict()) + "\n" for one in listed)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Fault._fields)
    writer.writerows(listed)
    return text.getvalue()
