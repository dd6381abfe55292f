"""Passes over a host's loader: real ones, of which is noted what they give and which random numbers
they draw, and those that are given again."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

import torch

from .plain_batch import batch_of
from .run_state import CpuGenerators
from .stored_batches import StoredBatches
from .watched_loader import Passing, Start

#: Is shown each batch.
Note = Callable[[Any], None]


class Pass:
    """One iteration of the loader: checksums of its batches (None: not known), and the global
    generators before and after it begins (``iter``) and gives its first batch."""

    def __init__(self, own: List[bytes]) -> None:
        self.checksums: List[Optional[bytes]] = []
        self.ended = self.drew_later = False
        self.own = own  # states of the loader's own generators
        self.before = CpuGenerators()
        self.after = self.first_before = self.first_after = self.before

    @property
    def draws_first(self) -> bool:
        return self.first_before != self.first_after

    @property
    def repeatable(self) -> bool:
        """Whether giving its batches, and drawing numbers where it drew them, is all it does."""
        return self.ended and not self.drew_later and None not in self.checksums


class Run:
    """The passes over the loader in one run of the host."""

    def __init__(
        self,
        note: Optional[Note] = None,
        checks: bool = False,
        store: Optional[StoredBatches] = None,
    ) -> None:
        self.note, self.checks, self.store = note, checks, store
        self.passes: List[Pass] = []
        self.sizes: Dict[bytes, int] = {}  # bytes of each batch, equal ones once
        self.begun = self.replayed = 0  # passes that a replay began, and that were not read
        self.on = True

    def reading(self, loader: Any, start: Start) -> Any:
        """A real pass, watched."""
        found = Pass(_own_generators(loader))
        self.passes.append(found)
        batches = start()
        found.after = CpuGenerators()
        return _Reading(batches, self, found)

    def take(self, batch: Any) -> Optional[bytes]:
        """The checksum of a batch that passes, where it is asked for and known."""
        if self.note is not None:
            self.note(batch)
        known = batch_of(batch) if self.checks else None
        if known is None:
            return None
        self.sizes[known.checksum] = known.nbytes
        if self.store is not None and not self.store.add(known):
            self.drop()
        return known.checksum

    def drop(self) -> None:
        """Store nothing."""
        if self.store is not None:
            self.store.close()
        self.store = None


class _Reading(Passing):
    def __init__(self, batches: Any, run: Run, found: Pass) -> None:
        super().__init__(batches)
        self._run, self._pass, self._began = run, found, False

    def __next__(self) -> Any:
        found = self._pass
        if not self._run.on or found.ended:  # it outlives the run
            return super().__next__()
        before = CpuGenerators()
        try:
            batch = super().__next__()
        except StopIteration:
            found.ended = True
            raise
        finally:
            after = CpuGenerators()
            if self._began:
                found.drew_later = found.drew_later or before != after
            else:
                found.first_before, found.first_after, self._began = before, after, True
        found.checksums.append(self._run.take(batch))
        return batch


class Replayed(Passing):
    """A pass, given again. Where the host asks for more than batches, has drawn other numbers since
    it began, or goes on after the run, a real one goes on in its place."""

    def __init__(self, start: Start, golden: Pass, store: StoredBatches, run: Run) -> None:
        super().__init__(None)
        self._start, self._golden, self._store, self._run = start, golden, store, run
        self._given, self._ended = 0, False
        golden.after.restore()

    def __next__(self) -> Any:
        golden, draws = self._golden, self._given == 0 and self._golden.draws_first
        apart = draws and not self._ended and CpuGenerators() != golden.first_before
        if self._batches is not None or apart or not self._run.on:
            return super().__next__()
        if draws and not self._ended:
            golden.first_after.restore()
        if self._given == len(golden.checksums):
            self._run.replayed += not self._ended
            self._ended = True
            raise StopIteration
        checksum = golden.checksums[self._given]
        assert checksum is not None  # of a pass that is repeatable
        self._given += 1
        return self._store.given(checksum)

    def _real(self) -> Any:
        if self._batches is None:
            now = CpuGenerators()
            try:
                self._golden.before.restore()
                batches = self._start()
                if self._given:
                    self._golden.first_before.restore()
                for _ in range(self._given):
                    next(batches)
                self._batches = batches
            finally:
                now.restore()
        return self._batches


def _own_generators(loader: Any) -> List[bytes]:
    """Of a DataLoader and its sampler, the states of generators that are not the global ones."""
    owners = (loader, getattr(loader, "sampler", None))
    found = [getattr(owner, "generator", None) for owner in owners]
    return [one.get_state().numpy().tobytes() for one in found if isinstance(one, torch.Generator)]
