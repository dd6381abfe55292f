"""What the text of a YAML file says that the mapping read from it does not any more. No torch.

YAML takes the last of two equal keys without a word, and reads 0x1, 017 and 1:30 as 1, 15 and 90.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Tuple, Union

import yaml
from yaml.reader import ReaderError

from ..errors import ConfigError
from ..fields import shown
from ..files import read_text
from .place import SECTION

#: Bytes that a configuration may have.
LARGEST = 1 << 20
#: A file, or in words where a text was given.
Origin = Union[Path, str]
_DECIMAL = re.compile(r"[+-]?(\d[\d]*\.?\d*|\.\d+)([eE][+-]?\d+)?")
_OCTAL = re.compile(r"[+-]?0\d+")


def load_yaml(path: Path) -> Dict[str, Any]:
    """A configuration, with its section checked as by :func:`check_text`. Raises ConfigError."""
    text = read_text(path, LARGEST)
    data = _loaded(path, text)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must be a mapping of settings")
    _check(path, text)
    return data


def load_value(origin: str, text: str, place: str) -> Any:
    """The value of one key, written as in YAML, and checked as by :func:`check_text`; ``origin``
    says where it was given. Raises ConfigError."""
    value = _loaded(origin, text)
    _check_keys(origin, yaml.compose(text, Loader=yaml.SafeLoader), place)
    return value


def _loaded(origin: Origin, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise ConfigError(f"{origin}: is nested too deeply") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ConfigError(_no_yaml(origin, text, error)) from error


def _no_yaml(path: Origin, text: str, error: Exception) -> str:
    """In which line, and why. Some are not YAML's own: a date, or a value with a tag, that is
    none."""
    why, line = " ".join(str(error).split()), None
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        why = error.problem or error.context or why
    elif isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        why = f"{error.reason}: {error.character!r}"
    return f"{path}{'' if line is None else f', line {line}'}: is not YAML ({why})"


def check_text(path: Path) -> None:
    """Raise ConfigError if the file's section has a key twice, naming both lines, or a number
    that is not decimal. What is no YAML file, or has no section, is somebody else's."""
    try:
        text = read_text(path, LARGEST)
    except ConfigError:
        return
    if SECTION in text:
        _check(path, text)


def sources(arguments: Iterable[str]) -> List[Path]:
    """The YAML files among the arguments of a program."""
    return [Path(a) for a in arguments if a.endswith((".yaml", ".yml")) and Path(a).is_file()]


def place_of(files: Iterable[Path], keys: Sequence[str]) -> str:
    """``"FILE, line N: "`` of a key of the section, or of the nearest above it that is there; the
    empty string if no file has the section. Later files win."""
    found = (0, "")
    for path in files:
        try:
            node = yaml.compose(read_text(path, LARGEST), Loader=yaml.SafeLoader)
        except (ConfigError, yaml.YAMLError, RecursionError):
            continue
        depth, line = 0, 0
        for key in (SECTION, *keys):
            mark, node = _child(node, key)
            if mark is None:
                break
            depth, line = depth + 1, mark.line + 1
        if depth and depth >= found[0]:
            found = (depth, f"{path}, line {line}: ")
    return found[1]


def _child(node: Any, key: str) -> Tuple[Any, Any]:
    """Where the value of ``key`` begins to be told, and the value; None if there is none."""
    for name, value in reversed(_pairs(node)):
        if name.value == key:
            return name.start_mark, value
    if isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
        return node.value[int(key)].start_mark, node.value[int(key)]
    return None, None


def _as_yaml_reads(text: str) -> str:
    try:
        return shown(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError):
        return "another"


def _check(path: Path, text: str) -> None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return  # said by whoever loads it
    for key, value in _pairs(root):
        if key.value == SECTION:
            _check_keys(path, value, SECTION)
    _check_twice(path, root, "", only=SECTION)


def _pairs(node: Any) -> List[Tuple[Any, Any]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _children(node: Any, place: str) -> Iterator[Tuple[Any, str]]:
    for key, value in _pairs(node):
        yield key, f"key of {place}"
        yield value, f"{place}.{key.value}"
    if isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            yield value, f"{place}[{position}]"


def _check_keys(path: Origin, node: Any, place: str) -> None:
    waiting, seen = [(node, place)], set()
    while waiting:
        node, place = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        _check_twice(path, node, place)
        if isinstance(node, yaml.ScalarNode):
            _check_number(path, node, place)
        waiting += _children(node, place)


def _check_twice(path: Origin, node: Any, place: str, only: str = "") -> None:
    lines: Dict[Any, int] = {}
    for key, _ in _pairs(node):
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            continue
        number = key.tag.endswith((":int", ":float")) and _DECIMAL.fullmatch(key.value)
        name = float(key.value) if number else key.value
        if name in lines and only in ("", name):
            told = f"{place}.{key.value}".lstrip(".")
            raise ConfigError(
                f"{path}: {told} stands twice, in line {lines[name]} and in line {line}: YAML "
                "takes the last; keep one"
            )
        lines.setdefault(name, line)


def _check_number(path: Origin, node: Any, place: str) -> None:
    text = str(node.value)
    number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    if not number or text.lstrip("+-").lower() in (".inf", ".nan"):
        return
    if not _DECIMAL.fullmatch(text) or (_OCTAL.fullmatch(text) and text.strip("+-0")):
        raise ConfigError(
            f"{path}, line {node.start_mark.line + 1}: {place}: must be a decimal number; received "
            f"{shown(text)}, which YAML reads as {_as_yaml_reads(text)}"
        )
