"""The result files of a campaign: crash-safe, resumable. No torch.

``manifest.json`` says what was run, ``trials.jsonl`` has one row for each trial, flushed and
synced to disk before the next one; the first row is the golden run. A torn last line, which a
crash leaves, is dropped. Everything else is made from these two.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Dict, List, Mapping, Optional, Tuple

from ..errors import ConfigError
from .trials import GOLDEN, TrialResult

MANIFEST = "manifest.json"
TRIALS = "trials.jsonl"


class ResultStore:
    """Appends the rows of one campaign to a folder that it alone writes to.

    Raises ConfigError if the folder holds another campaign, naming what differs, or if another
    process is writing to it.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.results: Dict[str, TrialResult] = {}
        self.golden: Optional[TrialResult] = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = (folder / TRIALS).open("ab")
        except OSError as error:
            raise ConfigError(f"output: cannot write to {folder} ({error.strerror})") from error
        try:
            _lock(self._file, folder)
            self._resume(manifest)
        except BaseException:
            self._file.close()
            raise

    def _resume(self, manifest: Mapping[str, Any]) -> None:
        path = self.folder / MANIFEST
        if path.exists():
            there = read_manifest(self.folder)
            check_same_campaign(there, manifest["identity"], self.folder, manifest["shard"])
            rows, complete = read_rows(self.folder / TRIALS)
            self._file.truncate(complete)
            for result in rows:
                self._take(result)
            manifest = {**manifest, "started": there.get("started")}
        elif self._file.tell():
            raise ConfigError(f"output: {self.folder} has a {TRIALS} but no {MANIFEST}")
        write_whole(path, json.dumps(manifest, indent=2) + "\n")  # the plan may have grown

    def append(self, result: TrialResult) -> None:
        """Write one row to disk. A second row of the same trial is an error."""
        known = {GOLDEN} if self.golden is not None else set()
        if result.trial.id in known | self.results.keys():
            raise ConfigError(f"{self.folder}: has trial {result.trial.id} already")
        self._file.write(json.dumps(result.row()).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._take(result)

    def _take(self, result: TrialResult) -> None:
        if result.trial.id == GOLDEN:
            self.golden = result
        else:
            self.results[result.trial.id] = result

    def close(self) -> None:
        self._file.close()


def read_manifest(folder: Path) -> Dict[str, Any]:
    """Raises ConfigError if the folder holds no campaign."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{folder}: is not the folder of a campaign ({MANIFEST}: {error.strerror})"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{folder / MANIFEST}: is not JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise ConfigError(f"{folder / MANIFEST}: must be a JSON object")
    return manifest


def read_rows(path: Path) -> Tuple[List[TrialResult], int]:
    """The rows of a ``trials.jsonl`` without a torn last line, and the length of that in bytes.

    Raises ConfigError for a line that is no trial, or that comes twice.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read ({error.strerror})") from error
    complete = data.rfind(b"\n") + 1
    rows: Dict[str, TrialResult] = {}
    for number, line in enumerate(data[:complete].splitlines(), 1):
        try:
            result = TrialResult.from_row(json.loads(line))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}, line {number}: {error}") from error
        if result.trial.id in rows:
            raise ConfigError(f"{path}, line {number}: trial {result.trial.id} comes twice")
        rows[result.trial.id] = result
    return list(rows.values()), complete


def check_same_campaign(
    there: Mapping[str, Any], identity: Mapping[str, Any], folder: Path, shard: Optional[str] = None
) -> None:
    """Raise ConfigError, naming what differs, unless the manifest ``there`` is of the campaign
    with this ``identity`` (or a part of one) and, if given, of this shard of it."""
    known = there.get("identity", {})
    one, two = _flat({key: known.get(key) for key in identity}), _flat(identity)
    different = sorted(key for key in {*one, *two} if one.get(key, two) != two.get(key, one))
    if shard is not None and there.get("shard") != shard:
        different.append("shard")
    if different:
        raise ConfigError(
            f"output: {folder} holds another campaign; it differs in {', '.join(different)}: "
            "choose another folder, or remove this one"
        )


def check_folder(folder: Path) -> None:
    """Raise ConfigError, before anything is run, for a folder that cannot be written to, that
    another process writes to, or whose files cannot be read."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with TemporaryDirectory(dir=there):
            pass
        if not (folder / TRIALS).exists():
            return
        with (folder / TRIALS).open("ab") as file:
            _lock(file, folder, shared=True)  # with other ranks that check at the same time
            empty = not file.tell()
    except OSError as error:
        raise ConfigError(f"output: cannot write to {folder} ({error.strerror})") from error
    if not empty and not (folder / MANIFEST).exists():
        raise ConfigError(f"output: {folder} has a {TRIALS} but no {MANIFEST}")
    read_rows(folder / TRIALS)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Dict[str, Any]:
    """Nested mappings as one with dotted keys."""
    flat: Dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def write_whole(path: Path, text: str) -> None:
    """Write a file that a crash leaves either as it was or whole. Raises ConfigError."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot write ({error.strerror})") from error


def _lock(file: BinaryIO, folder: Path, shared: bool = False) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(f"output: another process is writing to {folder}") from error
