"""What a host's loader gives, run by run: whether it repeats itself, and its batches given again.

A trial is to see the data of the golden run. The first trial that runs the host reads them anew, by
checksum the same or not; where they are, later trials are given copies of what it read.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterator, Optional, Sequence

from .data_passes import Note, Pass, Replayed, Run
from .run_state import CpuGenerators
from .stored_batches import StoredBatches
from .watched_loader import Start, WatchedLoader


class HostData:
    """Watches ``loader`` (None: there is none) in the golden run and, if it ``checks``, in trials.

    ``make_store``: where batches are held that are to be given again; None: each trial reads.
    ``replayed`` counts the passes that were not read; ``differs`` says where a trial saw other data
    than the golden run, once that is known.
    """

    def __init__(
        self,
        loader: Any = None,
        checks: bool = False,
        make_store: Optional[Callable[[], StoredBatches]] = None,
    ) -> None:
        self._watched = WatchedLoader(loader)
        self._checks, self._make_store = checks, make_store
        self._golden: Optional[Run] = None
        self._store: Optional[StoredBatches] = None
        self._paused = self._judged = False
        self.replayed = 0
        self.differs: Optional[str] = None

    @property
    def why(self) -> Optional[str]:
        """Why the loader cannot be watched; after the golden run."""
        return self._watched.why

    @contextmanager
    def golden(self, note: Optional[Note] = None) -> Iterator[None]:
        """Around the golden run; ``note`` is shown each batch."""
        run = Run(note, self._checks)
        with self._watching(run, partial(run.reading, self._watched.loader)):
            yield
        if self._checks and run.passes:
            self._golden = run

    @contextmanager
    def trial(self, name: str) -> Iterator[None]:
        """Around each run of a trial. Batches that cannot be read back are an InjectionError in the
        host's own iteration."""
        golden = self._golden
        if golden is None:
            yield
        elif self._judged:
            run = Run()
            try:
                with self._watching(run, partial(self._replaying, golden.passes, run)):
                    yield
            finally:
                self.replayed += run.replayed
        else:
            run = Run(checks=True, store=self._store_of(golden))
            try:
                with self._watching(run, partial(run.reading, self._watched.loader)):
                    yield
            except BaseException:  # the next trial is the first
                run.drop()
                raise
            self._judge(golden, run, name)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Around what only the golden run does."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def close(self) -> None:
        """Forget the golden run and its batches."""
        self._golden = None
        if self._store is not None:
            self._store.close()
            self._store = None

    @contextmanager
    def _watching(self, run: Run, iterate: Callable[[Start], Any]) -> Iterator[None]:
        if self._watched.loader is None:
            yield
            return
        try:
            with self._watched.iterated_by(lambda s: s() if self._paused else iterate(s)):
                yield
        finally:
            run.on = False

    def _store_of(self, golden: Run) -> Optional[StoredBatches]:
        if self._make_store is None or not all(one.repeatable for one in golden.passes):
            return None
        store = self._make_store()
        return store if store.fits(sum(golden.sizes.values())) else None

    def _judge(self, golden: Run, run: Run, name: str) -> None:
        """After the first trial: whether the loader repeats itself, and is to be replayed."""
        self._judged = True
        self.differs = _difference(golden.passes, run.passes, name)
        if self.differs is not None:
            kind = type(self._watched.loader).__name__
            self.differs = f"the host's {kind} does not repeat itself: {self.differs}"
        if self.differs is not None or not _may_replay(golden.passes, run.passes):
            run.drop()
        self._store = run.store
        if self._store is None:
            self._golden = None

    def _replaying(self, passes: Sequence[Pass], run: Run, start: Start) -> Any:
        place, run.begun = run.begun, run.begun + 1
        golden = passes[place] if place < len(passes) else None
        if golden is None or self._store is None or CpuGenerators() != golden.before:
            return start()
        return Replayed(start, golden, self._store, run)


def _may_replay(golden: Sequence[Pass], first: Sequence[Pass]) -> bool:
    """Where a host puts a generator of the loader's own back, what it draws is part of the run."""
    return len(golden) == len(first) and all(
        one.repeatable and other.repeatable and (not one.own or one.own != other.own)
        for one, other in zip(golden, first)
    )


def _difference(golden: Sequence[Pass], trial: Sequence[Pass], name: str) -> Optional[str]:
    """The first place where data differ, in words."""
    for number, (one, other) in enumerate(zip(golden, trial)):
        of = f"iteration {number + 1} of trial {name}" if len(golden) > 1 else f"trial {name}"
        for place, (ours, theirs) in enumerate(zip(one.checksums, other.checksums)):
            if None not in (ours, theirs) and ours != theirs:
                return f"batch {place + 1} of {of} differs from the golden run's"
        if one.ended and other.ended and len(one.checksums) != len(other.checksums):
            numbers = len(other.checksums), len(one.checksums)
            return f"{of} has {numbers[0]} batches, and the golden run {numbers[1]}"
    return None
