"""torch.compile: a graph break and the right result; never a wrong one."""

import pytest
import torch

import toy
from seu_plugin import FaultInjector

pytestmark = pytest.mark.skipif(
    not hasattr(getattr(torch, "compiler", None), "is_compiling"),
    reason="needs torch.compiler.is_compiling (torch 2.1)",
)


@pytest.fixture(autouse=True)
def fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def expected():
    model = toy.net()
    with torch.no_grad():
        clean = model(toy.batch())
        with FaultInjector(model, ber=0.02, seed=1):
            faulted = model(toy.batch())
    assert not torch.equal(clean, faulted)
    return clean, faulted


def compiled(model, **options):
    return torch.compile(model, backend="eager", **options)


@pytest.mark.parametrize("ran_before", [False, True])
def test_compiled_before_enable(expected, ran_before):
    model = compiled(toy.net())
    with torch.no_grad():
        if ran_before:
            assert torch.equal(model(toy.batch()), expected[0])
        with FaultInjector(model, ber=0.02, seed=1):
            assert torch.equal(model(toy.batch()), expected[1])
            assert torch.equal(model(toy.batch()), expected[1])
        assert torch.equal(model(toy.batch()), expected[0])


def test_compiled_while_enabled(expected):
    model = toy.net()
    with torch.no_grad():
        with FaultInjector(model, ber=0.02, seed=1):
            fast = compiled(model)
            assert torch.equal(fast(toy.batch()), expected[1])
        assert torch.equal(fast(toy.batch()), expected[0])


def test_a_compiled_part_of_the_model(expected):
    model = toy.net()
    model.conv2 = compiled(model.conv2)
    with torch.no_grad():
        with FaultInjector(model, ber=0.02, seed=1) as injector:
            assert torch.equal(model(toy.batch()), expected[1])
        assert torch.equal(model(toy.batch()), expected[0])
    assert list(injector.statistics()) == ["conv1", "conv2", "conv3", "fc"]


def test_gradients_of_a_compiled_training_step():
    def gradients(wrap):
        model = toy.net().train()
        with FaultInjector(model, ber=0.02, seed=1):
            wrap(model)(toy.batch()).square().sum().backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    plain, fast = gradients(lambda m: m), gradients(compiled)
    assert len(plain) > 4
    assert all(torch.allclose(a, b) for a, b in zip(plain, fast))


def test_one_whole_graph_is_refused(expected):
    model = compiled(toy.net(), fullgraph=True)
    with torch.no_grad(), pytest.raises(Exception, match="disable"):
        with FaultInjector(model, ber=0.02, seed=1):
            model(toy.batch())
