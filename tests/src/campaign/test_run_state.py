"""Between two runs only the faults differ."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from rfquant_hooks.contract import PhaseOutcome
from seu_plugin.campaign.run_state import Calibrations, GeneratorState, RunState, host_rng_restored
from seu_plugin.errors import InjectionError


def drawn():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def net():
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))


def test_generators_are_put_back():
    state = GeneratorState()
    first = drawn()
    state.restore()
    assert drawn() == first


def test_the_hosts_generators_are_put_back_after_an_exception():
    before = torch.get_rng_state()
    with pytest.raises(KeyError), host_rng_restored():
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


def test_statistics_flags_and_momentum_are_put_back():
    model = net().eval()
    state = RunState(model)
    first = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    model[1].momentum = None
    model(torch.randn(4, 1, 8, 8))
    state.restore()
    assert all(torch.equal(v, first[k]) for k, v in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert model[1].momentum == 0.1


def test_the_nth_calibration_is_repeated_from_memory():
    model, runs = net().train(), []
    calibrations = Calibrations(model)

    def run():
        runs.append(1)
        model(torch.randn(4, 1, 8, 8))
        return PhaseOutcome(len(runs))

    made = [calibrations.calibrate(run) for _ in range(2)]
    second, drawn_after = model[1].running_mean.clone(), torch.rand(())
    for _ in range(2):
        calibrations.rewind()
        model[1].running_mean.zero_()
        torch.manual_seed(9)
        assert [calibrations.calibrate(run) for _ in range(2)] == made
        assert torch.equal(model[1].running_mean, second)
        assert torch.rand(()) == drawn_after  # as after the calibration itself
    assert len(runs) == 2


def test_more_calibrations_than_in_the_golden_run_are_an_error():
    calibrations = Calibrations(net())
    calibrations.rewind()
    with pytest.raises(InjectionError, match="calibrates BatchNorm more than 0 times"):
        calibrations.calibrate(lambda: PhaseOutcome(None))
