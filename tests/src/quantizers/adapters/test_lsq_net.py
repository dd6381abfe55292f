"""Layers as those of lsq-net: a quantizer with a range, called without a width."""

import pytest
import torch
from torch import nn

from seu_plugin import FaultInjector
from seu_plugin.errors import SiteError
from seu_plugin.quantizers.registry import found_by


class Lsq(nn.Module):
    def __init__(self, lowest, highest, step):
        super().__init__()
        self.thd_neg, self.thd_pos = lowest, highest
        self.s = nn.Parameter(step)

    def forward(self, x):
        scaled = torch.clamp(x / self.s, self.thd_neg, self.thd_pos)
        return (scaled + (scaled.round() - scaled).detach()) * self.s


class Conv(nn.Conv2d):
    def __init__(self, lowest, highest, step):
        super().__init__(3, 6, 3)
        self.quan_w_fn = Lsq(lowest, highest, step)

    def forward(self, x):
        weight = self.quan_w_fn(self.weight)
        self.seen = weight.detach()
        return self._conv_forward(x, weight, self.bias)


PER_CHANNEL = torch.linspace(0.02, 0.09, 6).reshape(6, 1, 1, 1)
RANGES = [(-8, 7), (-7, 7), (-128, 127), (-2, 1), (0, 15)]


def model(lowest=-8, highest=7, step=PER_CHANNEL):
    torch.manual_seed(0)
    return nn.Sequential(Conv(lowest, highest, step.clone())).eval()


def codes(net, lowest):
    with torch.no_grad():
        net(torch.ones(1, 3, 4, 4))
    steps = net[0].seen / net[0].quan_w_fn.s.detach()
    assert (steps - steps.round()).abs().max() < 1e-3
    return steps.round().int()


@pytest.mark.parametrize("lowest, highest", RANGES)
@pytest.mark.parametrize("step", [PER_CHANNEL, torch.tensor(0.05), torch.tensor([0.05])])
def test_flipped_bits_are_those_reported(lowest, highest, step):
    net = model(lowest, highest, step)
    before, encoding = codes(net, lowest), "twos_complement" if lowest else "unsigned"
    with FaultInjector(net, ber=0.05, seed=1, encoding=encoding) as injector:
        after = codes(net, lowest)
    width = highest.bit_length() + (lowest < 0)
    flipped = (before ^ after) & ((1 << width) - 1)
    found = sum(bin(word).count("1") for word in flipped.flatten().tolist())
    assert found == injector.statistics()["0"].upsets > 0
    assert torch.equal(codes(net, lowest), before)


def test_a_gradient_passes_straight_through():
    net = model()
    clean = torch.autograd.grad(net(torch.ones(1, 3, 4, 4)).sum(), net[0].weight)[0]
    with FaultInjector(net, ber=0.05, seed=1, enable_in_inference=True):
        faulted = torch.autograd.grad(net(torch.ones(1, 3, 4, 4)).sum(), net[0].weight)[0]
    assert torch.equal(clean, faulted)


def test_its_adapter_is_told():
    assert [(adapter, site.name) for adapter, site in found_by(model())] == [("lsq-net", "0")]


def test_a_range_that_is_no_width_is_refused_before_a_forward():
    with pytest.raises(SiteError, match=r"its codes -3 \.\.\. 5 must be all those of a width"):
        FaultInjector(model(-3, 5), ber=0.01, seed=1).enable()


def test_a_layer_without_quantization_is_no_site():
    net = model()
    net[0].quan_w_fn = nn.Identity()
    with pytest.raises(SiteError, match=r"asked: rfquant, torch\.ao, brevitas, lsq-net"):
        FaultInjector(net, ber=0.01, seed=1)
