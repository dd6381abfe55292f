"""Files: read within limits, written whole, never written through a link."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple, Union

from .errors import ConfigError

#: Bytes that a configuration, a manifest or a list of faults may have.
LARGEST = 1 << 26
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def read_text(path: Path, largest: int = LARGEST) -> str:
    """A UTF-8 text. Raises ConfigError, in one line, for a file that cannot be read, is no text,
    or has more than ``largest`` bytes (or no end)."""
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise ConfigError(f"{path}: cannot read ({_why(error)})") from error
    if len(data) > largest:
        raise ConfigError(f"{path}: has more than {largest:,} bytes, so it is not what is meant")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text ({error.reason})") from error


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """A JSON document. Raises ConfigError as :func:`read_text`, and for what is none."""
    text = read_text(path, largest)
    try:
        return load_json(text)
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON ({error})") from error


def load_json(text: Union[str, bytes]) -> Any:
    """As json.loads. Raises ValueError also for a key that stands twice, RecursionError."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} stands twice in an object")
    return found


def write_whole(path: Path, content: Union[str, bytes]) -> None:
    """Write a file that a crash leaves either as it was or whole, by way of a new file beside it;
    a link of its name is replaced, not followed. Raises ConfigError."""
    partial = path.with_name(f".seu-{secrets.token_hex(6)}")
    try:
        data = content.encode() if isinstance(content, str) else content
        try:
            with os.fdopen(
                os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb"
            ) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot write ({_why(error)})") from error


def make_folder(path: Path) -> None:
    """Raises ConfigError if there can be none."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be a folder ({_why(error)})") from error


def check_writable(path: Path) -> None:
    """Raise ConfigError, before anything is run, if there cannot be such a file."""
    trouble = ""
    try:
        if path.is_dir():
            trouble = "is a folder; name a file in it"
        elif not path.parent.is_dir():
            trouble = f"there is no folder {path.parent}"
        else:
            with tempfile.TemporaryFile(dir=path.parent):
                pass
    except (OSError, ValueError) as error:
        trouble = _why(error)
    if trouble:
        raise ConfigError(f"{path}: cannot write ({trouble})")


def open_to_append(path: Path) -> int:
    """A descriptor of ``path``, read and write, that appends; made if missing. Raises OSError,
    also for a link, which may lead anywhere."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _NO_LINK, 0o666)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
