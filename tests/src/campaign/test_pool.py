"""Workers made by hand: who is lost, what comes back."""

import threading
import time

import pytest

from seu_plugin.analysis.trials import Trial, TrialResult
from seu_plugin.campaign.pool import MOST_LOSSES, WorkerPool
from seu_plugin.campaign.worker import Hello, WorkerLost
from seu_plugin.errors import InjectionError

TRIALS = [Trial(n, 0.1) for n in range(30)]
HELLO = Hello(TrialResult(Trial(0), (98.0,)), {})


class Worker:
    def __init__(self, index, dies_at=(), fails_at=()):
        self.index, self.dies_at, self.fails_at = index, set(dies_at), set(fails_at)
        self.closed = False

    def hello(self):
        return HELLO

    def run(self, trial):
        if trial.number in self.dies_at:
            self.dies_at.discard(trial.number)
            raise WorkerLost(f"worker {self.index} lost")
        if trial.number in self.fails_at:
            raise InjectionError("did not inject")
        return TrialResult(trial, (float(trial.number),))

    def close(self):
        self.closed = True

    kill = close


def pool(number, make, check=lambda hello: None):
    made, said = [], []

    def start(index):
        made.append(make(index))
        return made[-1]

    return WorkerPool(start, number, check, said.append), made, said


@pytest.mark.parametrize("number", [1, 2, 5])
def test_every_trial_is_run_once(number):
    workers, made, _ = pool(number, Worker)
    with workers:
        for _ in range(2):
            found = list(workers(TRIALS))
            assert sorted(r.trial.number for r in found) == list(range(30))
    assert len(made) <= number and all(worker.closed for worker in made)


def test_a_lost_workers_trial_is_run_again():
    dying = {3, 17}
    lock = threading.Lock()

    def make(index):
        with lock:
            mine = Worker(index)
            mine.dies_at = dying  # shared: each kills one worker
            return mine

    workers, made, said = pool(2, make)
    with workers:
        found = list(workers(TRIALS))
    assert sorted(r.trial.number for r in found) == list(range(30))
    assert len(said) == 2 and "is run again" in said[0]
    assert all(worker.closed for worker in made)


def test_a_worker_that_is_always_lost_ends_the_run():
    workers, made, _ = pool(1, lambda index: Worker(index, dies_at=range(30)))
    with workers, pytest.raises(InjectionError, match=f"lost {MOST_LOSSES} times in a row"):
        list(workers(TRIALS))
    assert len(made) == MOST_LOSSES


def test_a_mistake_in_a_worker_ends_the_run():
    workers, _, _ = pool(2, lambda index: Worker(index, fails_at=[5]))
    with workers, pytest.raises(InjectionError, match="did not inject"):
        list(workers(TRIALS))


def test_a_worker_that_evaluates_something_else_ends_the_run():
    def check(hello):
        raise InjectionError("another model")

    workers, made, _ = pool(1, Worker, check)
    with workers, pytest.raises(InjectionError, match="another model"):
        list(workers(TRIALS))
    assert made[0].closed


def test_no_trial_starts_no_worker():
    workers, made, _ = pool(2, Worker)
    with workers:
        assert list(workers([])) == []
    assert made == []


class Stopped(Worker):
    """Runs a trial for ever, until it is killed."""

    def __init__(self, index):
        super().__init__(index)
        self.killed = threading.Event()

    def run(self, trial):
        if trial.number == 0:
            return super().run(trial)
        assert self.killed.wait(60.0)
        raise WorkerLost(f"worker {self.index} killed")

    def kill(self):
        self.killed.set()


def test_a_run_that_is_interrupted_does_not_wait_for_the_trials_that_run():
    workers, made, said = pool(2, Stopped)
    with workers:
        results = workers(TRIALS)
        assert next(results).trial.number == 0
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
    assert all(worker.killed.is_set() for worker in made) and not said


def test_a_worker_that_is_starting_is_stopped_too():
    class Starting(Stopped):
        def hello(self):
            if self.index == 0:
                return HELLO
            assert self.killed.wait(60.0)
            raise WorkerLost("killed")

    workers, _, said = pool(2, Starting)
    with workers:
        results = workers(TRIALS)
        next(results)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
    assert time.monotonic() - began < 30.0 and not said
