"""Workers in parallel: trials go to whoever is free, and back to the queue if one is lost."""

from __future__ import annotations

import queue
import threading
from typing import Callable, Iterator, List, Optional, Protocol, Sequence, Union

from ..analysis.trials import Trial, TrialResult
from ..errors import InjectionError
from .worker import Hello, WorkerLost

#: A worker that is lost so often in a row, without a result between, is not started again.
MOST_LOSSES = 3


class Worker(Protocol):
    """Runs trials elsewhere. Each method raises WorkerLost if the worker is gone."""

    def hello(self) -> Hello: ...

    def run(self, trial: Trial) -> TrialResult: ...

    def close(self) -> None: ...

    def kill(self) -> None: ...


class WorkerPool:
    """``number`` workers, made by ``start(index)`` when first needed and checked by ``check``.

    Call it with trials to get their results, in any order; use as a context manager. The first
    mistake that a worker tells of ends the run.
    """

    def __init__(
        self,
        start: Callable[[int], Worker],
        number: int,
        check: Callable[[Hello], None],
        say: Callable[[str], None],
    ) -> None:
        self._start, self._check, self._say = start, check, say
        self._workers: List[Optional[Worker]] = [None] * number

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            if worker is not None:
                worker.close()

    def _stop(self) -> None:
        """End all at once, in the middle of a trial, too."""
        for worker in self._workers:
            if worker is not None:
                worker.kill()

    def __call__(self, trials: Sequence[Trial]) -> Iterator[TrialResult]:
        waiting: queue.SimpleQueue[Trial] = queue.SimpleQueue()
        done: queue.SimpleQueue[Union[TrialResult, BaseException]] = queue.SimpleQueue()
        for trial in trials:
            waiting.put(trial)
        stop = threading.Event()
        number = min(len(self._workers), len(trials))
        threads = [
            threading.Thread(target=self._serve, args=(i, waiting, done, stop), daemon=True)
            for i in range(number)
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in trials:
                result = done.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        except BaseException:
            stop.set()
            while any(thread.is_alive() for thread in threads):
                self._stop()  # else they would wait for the trials that run, or workers that start
                for thread in threads:
                    thread.join(timeout=0.1)
            raise
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _serve(
        self,
        index: int,
        waiting: queue.SimpleQueue[Trial],
        done: queue.SimpleQueue[Union[TrialResult, BaseException]],
        stop: threading.Event,
    ) -> None:
        losses = 0
        while not stop.is_set():
            try:
                # A trial may come back from another worker that is lost.
                trial = waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                done.put(self._worker(index).run(trial))
                losses = 0
            except WorkerLost as error:
                if stop.is_set():
                    return
                waiting.put(trial)
                self._forget(index)
                losses += 1
                self._say(f"{error}; trial {trial.id} is run again")
                if losses >= MOST_LOSSES:
                    done.put(InjectionError(f"a worker was lost {losses} times in a row: {error}"))
                    return
            except BaseException as error:  # noqa: BLE001 - told to whoever waits for results
                done.put(error)
                return

    def _worker(self, index: int) -> Worker:
        worker = self._workers[index]
        if worker is None:
            worker = self._workers[index] = self._start(index)
            self._check(worker.hello())
        return worker

    def _forget(self, index: int) -> None:
        worker, self._workers[index] = self._workers[index], None
        if worker is not None:
            worker.close()
