"""Batches of a host's data, held to be given again: in memory, and what that has no room for in a
temporary file."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Callable, Dict, List, Optional, Tuple, Union

import torch

from ..errors import InjectionError
from .plain_batch import Batch, begun_checksum, filled, flat, words_of


class StoredBatches:
    """Batches by checksum, equal ones once.

    ``memory``: bytes that may be taken of it. The rest goes to a file without a name in
    ``folder`` (where that is not there, in that of temporary files), which is gone when it is
    closed or the process ends; it takes at most half of what is free there, shared by
    ``processes``.
    """

    def __init__(self, memory: int, folder: Optional[Path] = None, processes: int = 1) -> None:
        self.memory, self._processes = memory, processes
        self._folder = str(
            folder if folder is not None and folder.is_dir() else tempfile.gettempdir()
        )
        self.used = self.written = 0
        self._file: Optional[IO[bytes]] = None
        self._held: Dict[bytes, Tuple[Any, Union[List[torch.Tensor], int]]] = {}

    def fits(self, nbytes: int) -> bool:
        """Whether there is room for so many bytes of batches, or nearly so."""
        return nbytes - max(self.memory, 0) <= self._room()

    def _room(self) -> int:
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            return 0
        return (free + self.written) // (2 * self._processes)

    def add(self, batch: Batch) -> bool:
        """Hold a copy; False where there is no room for it."""
        if batch.checksum in self._held:
            return True
        if self.used + batch.nbytes <= self.memory:
            copies = [flat(tensor).clone() for tensor in batch.tensors]
            self._held[batch.checksum] = batch.nest, copies
            self.used += batch.nbytes
            return True
        if self.written + batch.nbytes > self._room():
            return False
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - until close
            place = self._file.seek(0, 2)
            for tensor in batch.tensors:
                self._file.write(words_of(tensor))
            self._file.flush()
        except OSError:
            return False
        self._held[batch.checksum] = batch.nest, place
        self.written += batch.nbytes
        return True

    def given(self, checksum: bytes) -> Any:
        """A copy that is the host's own. Raises InjectionError for one that cannot be read back."""
        nest, held = self._held[checksum]
        if not isinstance(held, int):
            copies = iter(held)
            return filled(nest, lambda tensor: _copy(next(copies), tensor))
        found = begun_checksum(nest)
        try:
            assert self._file is not None
            self._file.seek(held)
            batch = filled(nest, lambda tensor: self._read(tensor, found.update))
        except OSError as error:
            raise self._lost(str(error)) from error
        if found.digest() != checksum:
            raise self._lost("other bits than were written")
        return batch

    def _read(self, tensor: torch.Tensor, note: Callable[[memoryview], None]) -> None:
        assert self._file is not None
        words = words_of(tensor)
        if self._file.readinto(words) != len(words):  # type: ignore[attr-defined]
            raise OSError("it ends too early")
        note(words)

    def _lost(self, why: str) -> InjectionError:
        return InjectionError(
            f"campaign.reuse: data kept in a temporary file in {self._folder} cannot be read back "
            f"({why}); reuse: false reads the host's own each time"
        )

    def close(self) -> None:
        """Forget all; the file is gone."""
        self._held.clear()
        self.used = self.written = 0
        if self._file is not None:
            with suppress(OSError):  # what was to be written has no room
                self._file.close()
            self._file = None


def _copy(words: torch.Tensor, tensor: torch.Tensor) -> None:
    with torch.inference_mode(tensor.is_inference()):
        flat(tensor).copy_(words)
