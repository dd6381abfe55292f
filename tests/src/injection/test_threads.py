"""Forwards from several threads: each sees the map, and the model is given back."""

import _thread
import threading

import pytest
import torch

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import InjectionError, SeuError
from seu_plugin.injection import forwards

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


def test_a_recomputation_in_a_forward_that_waits_for_it_is_no_deadlock(monkeypatch):
    """Autograd's own threads, which devices have, look like this one to threading."""
    monkeypatch.setattr(forwards, "PATIENCE", 0.05)
    hold, errors, done = forwards.Hold("me"), [], threading.Event()

    def enter():
        try:
            hold.__enter__()
        except InjectionError as error:
            errors.append(error)
        done.set()

    with hold:
        _thread.start_new_thread(enter, ())
        assert done.wait(10.0)
    assert "call backward outside of the forward" in str(errors[0])
