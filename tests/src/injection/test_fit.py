"""What does not fit a memory is said before any forward."""

import pytest
import torch
from torch import nn

from seu_plugin import FaultInjector
from seu_plugin.errors import ConfigError


def quantized(qconfig_of):
    from torch.ao import quantization as ao

    model = nn.Sequential(nn.Linear(16, 8)).train()
    model.qconfig = qconfig_of(ao)
    model = ao.prepare_qat(model)
    model(torch.randn(4, 16))
    return model.eval().apply(ao.disable_observer)


def affine(ao):
    weight = ao.FakeQuantize.with_args(
        observer=ao.MinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8
    )
    return ao.QConfig(activation=nn.Identity, weight=weight)


ZERO = {"scheme": "secded_39_32", "on_detected": "zero"}


def test_code_0_is_not_weight_0_on_a_grid_with_a_zero_point():
    injector = FaultInjector(
        quantized(affine), ber=1e-3, seed=1, encoding="unsigned", protection=ZERO
    )
    with pytest.raises(ConfigError, match=r"on_detected: zero .* '0' .*: allowed there are reload"):
        injector.enable()


def test_code_0_is_weight_0_without_one():
    model = quantized(lambda ao: ao.get_default_qat_qconfig("fbgemm"))
    with FaultInjector(model, ber=1e-2, seed=1, protection=ZERO), torch.no_grad():
        model(torch.ones(1, 16))
