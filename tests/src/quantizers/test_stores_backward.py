"""Gradients through layers whose integers hold upsets in the forward alone."""

from functools import partial

import pytest
import torch
from torch import nn

from seu_plugin import FaultInjector
from seu_plugin.errors import InjectionError
from seu_plugin.quantizers import StoredCodes, known_adapters, packed


class Kept(torch.autograd.Function):
    """Looks at its codes again in the backward pass, as kernels of packed weights do."""

    @staticmethod
    def forward(ctx, x, codes):
        ctx.codes = codes
        return x @ codes.float().T

    @staticmethod
    def backward(ctx, gradient):
        return gradient @ ctx.codes.float(), None


class Integers(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("qweight", torch.arange(128, dtype=torch.uint8).reshape(8, 16))

    def forward(self, x):
        return Kept.apply(x, self.qweight)


@pytest.fixture
def model():
    adapters = known_adapters()
    adapters.register(StoredCodes("*qweight", partial(packed, width=8)), "mine")
    yield nn.Sequential(Integers())
    adapters.unregister(name="mine")


def injected(model):
    return FaultInjector(model, ber=0.05, seed=1, encoding="unsigned", persistence="static")


def test_a_gradient_of_the_clean_network_is_refused(model):
    x = torch.ones(3, 16, requires_grad=True)
    with injected(model), pytest.raises(InjectionError, match=r"site '0': .* exclude it to train"):
        model(x).sum().backward()


def test_a_forward_without_a_backward_is_fine(model):
    x = torch.ones(3, 16, requires_grad=True)
    clean = model(x)
    with injected(model):
        assert not torch.equal(model(x), clean)


def test_after_disable_gradients_flow_again(model):
    x = torch.ones(3, 16, requires_grad=True)
    with injected(model):
        model(x)
    model(x).sum().backward()
    assert torch.equal(x.grad, torch.ones(3, 8) @ model[0].qweight.float())
