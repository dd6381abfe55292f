"""The result files of a campaign: crash-safe, resumable. No torch.

``manifest.json`` says what was run, ``trials.jsonl`` has one row for each trial, written and
synced to disk before the next one; the first row is the golden run. A torn last line, which a
crash leaves, is dropped. Everything else is made from these two.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, Mapping, Optional, Sequence

from ..errors import ConfigError
from ..files import open_to_append, write_whole
from .manifest import MANIFEST, check_same_campaign, read_manifest, together
from .rows import TRIALS, read_rows
from .trials import GOLDEN, TrialResult

#: What an error of a campaign that had begun ends with.
RESUME = "the same command goes on from there"


class ResultStore:
    """Appends the rows of one campaign to a folder that it alone writes to.

    Raises ConfigError if the folder holds another campaign, naming what differs, or if another
    process is writing to it.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self._path = folder, folder / TRIALS
        self.results: Dict[str, TrialResult] = {}
        self.golden: Optional[TrialResult] = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"output: cannot write to {folder} ({error.strerror})") from error
        self._file = _opened(self._path)
        try:
            lock(self._file, folder)
            self._size = os.fstat(self._file).st_size
            self._resume(manifest)
        except BaseException:
            self.close()
            raise

    def _resume(self, manifest: Mapping[str, Any]) -> None:
        path = self.folder / MANIFEST
        if path.exists():
            there = read_manifest(self.folder)
            check_same_campaign(there, manifest["identity"], self.folder, manifest["shard"])
            rows, complete = read_rows(self._path)
            os.truncate(self._file, complete)
            self._size = complete
            for result in rows:
                self._take(result)
            old = {name: there[name] for name in ("started", "reused") if there.get(name)}
            manifest = {**manifest, **old}
        elif self._size:
            raise ConfigError(f"output: {self.folder} has a {TRIALS} but no {MANIFEST}")
        write_whole(path, json.dumps(manifest, indent=2) + "\n")  # the plan may have grown

    def append(self, result: TrialResult) -> None:
        """Write one row to disk. Raises ConfigError for a second row of the same trial, if the
        file has been removed, replaced or changed meanwhile, or if the disk is full."""
        known = {GOLDEN} if self.golden is not None else set()
        if result.trial.id in known | self.results.keys():
            raise ConfigError(f"{self.folder}: has trial {result.trial.id} already")
        self._check_untouched()
        row = json.dumps(result.row()).encode() + b"\n"
        try:
            written = 0
            while written < len(row):
                written += os.write(self._file, row[written:])
            os.fsync(self._file)
        except OSError as error:
            self._cut_back()
            raise ConfigError(
                f"output: cannot write to {self._path} ({error.strerror}); {self._safe}: {RESUME}"
            ) from error
        self._size += len(row)
        self._take(result)

    def note(self, reused: Sequence[float], differs: Optional[str] = None) -> None:
        """Add to the manifest how much of the work of each of some trials was ``reused``, and why
        nothing is known of single images if data ``differs``."""
        manifest = read_manifest(self.folder)
        if reused:
            now = {"trials": len(reused), "share": sum(reused) / len(reused)}
            manifest["reused"] = together([manifest.get("reused"), now])
        if differs is not None:
            manifest["images"] = f"not known: {differs}"
        if reused or differs is not None:
            write_whole(self.folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")

    @property
    def _safe(self) -> str:
        return f"{len(self.results):,} trials are safe in it"

    def _check_untouched(self) -> None:
        ours = os.fstat(self._file)
        try:
            there = self._path.lstat()
        except OSError:
            raise ConfigError(
                f"output: {self._path} was removed or moved while the campaign ran, and with it "
                f"{len(self.results):,} trials: the same command runs what is not there"
            ) from None
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise ConfigError(
                f"output: {self._path} was replaced by another file while the campaign ran; "
                f"{len(self.results):,} trials were in the one before, which has no name any more: "
                "the same command runs what the new one lacks"
            )
        if not (self.folder / MANIFEST).exists():
            raise ConfigError(
                f"output: {self.folder / MANIFEST} was removed while the campaign ran: the rows "
                "beside it mean nothing without; remove the folder, or put it back"
            )
        if there.st_size != self._size:
            raise ConfigError(
                f"output: {self._path} was changed while the campaign ran: it has "
                f"{there.st_size:,} bytes, not {self._size:,}; its whole rows are safe: {RESUME}"
            )

    def _cut_back(self) -> None:
        """Take a torn row away, so that the next one does not stand behind it."""
        try:
            os.truncate(self._file, self._size)
        except OSError:
            return  # dropped when the rows are read

    def _take(self, result: TrialResult) -> None:
        if result.trial.id == GOLDEN:
            self.golden = result
        else:
            self.results[result.trial.id] = result

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def check_folder(folder: Path) -> None:
    """Raise ConfigError, before anything is run, for a folder that cannot be written to, that
    another process writes to, or whose files cannot be read."""
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with TemporaryDirectory(dir=there):
            pass
        if not (folder / TRIALS).exists():
            return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"output: cannot write to {folder} ({why})") from error
    file = _opened(folder / TRIALS)
    try:
        lock(file, folder, shared=True)  # with other ranks that check at the same time
        empty = not os.fstat(file).st_size
    finally:
        os.close(file)
    if not empty and not (folder / MANIFEST).exists():
        raise ConfigError(f"output: {folder} has a {TRIALS} but no {MANIFEST}")
    read_rows(folder / TRIALS)


def _opened(path: Path) -> int:
    try:
        return open_to_append(path)
    except OSError as error:
        link = "; it is a link, which is not followed" if path.is_symlink() else ""
        raise ConfigError(f"output: cannot write to {path} ({error.strerror}{link})") from error


def lock(file: int, folder: Path, shared: bool = False) -> None:
    """Raise ConfigError if another process holds the file."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(f"output: another process is writing to {folder}") from error
