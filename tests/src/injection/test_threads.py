"""Forwards from several threads: each sees the map, and the model is given back."""

import concurrent.futures
import os
import signal
import threading

import pytest
import torch

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import SeuError

EVERY = ["weights", "activations", "step_sizes", "batch_norm", "biases"]


def in_threads(work, number=4, times=6):
    """Outputs and errors of ``work()``, called from several threads at once."""
    start, outputs, errors = threading.Barrier(number), [], []

    def run():
        start.wait()
        try:
            for _ in range(times):
                outputs.append(work())
        except SeuError as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return outputs


def forward(model):
    with torch.no_grad():
        return model(toy.batch())


def words(output):
    """NaN is not equal to itself, but its bits are."""
    return output.view(torch.int32)


@pytest.mark.parametrize("target", EVERY)
def test_nothing_is_changed_for_good(target):
    for seed in range(5):
        model = toy.net()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        injector = FaultInjector(model, ber=1e-2, seed=seed, targets=[target]).enable()
        in_threads(lambda model=model: forward(model))
        injector.disable()
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("targets", [["weights"], ["biases", "batch_norm", "step_sizes"]])
def test_every_thread_sees_the_one_static_map(targets):
    model = toy.net()
    settings = {"ber": 1e-2, "seed": 1, "targets": targets}
    with FaultInjector(model, **settings) as alone:
        expected = words(forward(model))
    for _ in range(5):
        with FaultInjector(model, **settings) as injector:
            outputs = in_threads(lambda: forward(model))
        assert all(torch.equal(words(output), expected) for output in outputs)
        made = {name: site.upsets for name, site in injector.statistics().items()}
        assert made == {name: site.upsets for name, site in alone.statistics().items()}


def test_fresh_maps_are_one_for_each_forward():
    model = toy.net()
    settings = {"ber": 1e-2, "seed": 1, "persistence": "per_forward"}
    with FaultInjector(model, **settings):
        expected = [forward(model) for _ in range(24)]
    with FaultInjector(model, **settings) as injector:
        outputs = in_threads(lambda: forward(model))
    assert injector.statistics()["fc"].maps == 24
    assert sorted(map(toy.percent, outputs)) == sorted(map(toy.percent, expected))


def test_layers_called_alone_take_turns_too():
    model = toy.net()
    images = torch.randn(2, 8, 8, 8)
    with FaultInjector(model, ber=1e-2, seed=1, layers="conv2"), torch.no_grad():
        expected = model.conv2(images)
        outputs = in_threads(lambda: model.conv2(images))
    assert all(torch.equal(output, expected) for output in outputs)


def test_a_forward_that_meets_the_end_is_clean():
    model = toy.net()
    clean = forward(model)
    injector = FaultInjector(model, ber=0.3, seed=1).enable()
    forward(model)
    late = vars(model)["forward"]  # as a thread has it that waits for the lock
    injector.disable()
    with torch.no_grad():
        assert torch.equal(late(toy.batch()), clean)


class Parallel(toy.Net):
    """Runs its second layer in another thread."""

    def forward(self, x):
        x = self.conv1(x).relu()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            x = pool.submit(self.conv2, x).result(timeout=30.0)
        x = self.bn3(self.conv3(self.bn2(x).relu())).relu()
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("persistence", ["static", "per_forward"])
def test_a_forward_may_run_layers_in_threads_of_its_own(persistence):
    settings = {"ber": 1e-2, "seed": 1, "persistence": persistence}
    model = toy.net()
    with FaultInjector(model, **settings):
        expected = forward(model)
    model.__class__ = Parallel
    with FaultInjector(model, **settings), torch.no_grad():
        assert torch.equal(model(toy.batch()), expected)


def test_a_trial_begins_between_forwards():
    model = toy.net()
    settings = {"ber": 1e-2, "seed": 1}
    expected = {}
    for trial in range(4):
        with FaultInjector(model, trial=trial, **settings):
            expected[toy.percent(forward(model))] = trial
    with FaultInjector(model, **settings) as injector:
        trials = threading.Thread(
            target=lambda: [injector.start_trial(n % 4) for n in range(60)], daemon=True
        )
        trials.start()
        outputs = in_threads(lambda: forward(model), times=10)
        trials.join()
        injector.start_trial(0)
        forward(model)
    assert {toy.percent(output) for output in outputs} <= set(expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_a_thread_is_in_a_forward_can_go_on():
    model = toy.net()
    with FaultInjector(model, ber=1e-2, seed=1) as injector:
        expected = forward(model)
        hold = vars(model)["forward"].hold
        inside, done = threading.Event(), threading.Event()

        def stay():
            with hold.still():
                inside.set()
                done.wait(60.0)

        thread = threading.Thread(target=stay)
        thread.start()
        inside.wait(60.0)
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(0 if torch.equal(forward(model), expected) else 1)
        _, status = os.waitpid(child, 0)
        done.set()
        thread.join()
        assert status == 0
    assert injector.statistics()["fc"].forwards == 1


def test_a_state_dict_is_never_of_the_middle_of_a_forward():
    model = toy.net()
    clean = {name: value.clone() for name, value in model.state_dict().items()}
    targets = ["biases", "batch_norm", "step_sizes"]
    with FaultInjector(model, ber=1e-2, seed=1, targets=targets):
        forwards = threading.Thread(target=lambda: [forward(model) for _ in range(40)])
        forwards.start()
        while forwards.is_alive():
            for name, value in model.state_dict().items():
                assert torch.equal(value, clean[name]), name
