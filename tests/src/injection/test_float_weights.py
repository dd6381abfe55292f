"""Weights without a quantizer, as words of IEEE 754."""

import copy
import json

import numpy as np
import pytest
import torch
from tests.toy import Net
from torch import nn

from seu_plugin import Campaign, Fault, FaultInjector
from seu_plugin.errors import ConfigError, SiteError
from seu_plugin.faults.fault_list import faults_of
from seu_plugin.faults.fault_map import draw_fault_map
from seu_plugin.faults.seeding import Stream

LAYERS = {
    "linear": (lambda: nn.Linear(12, 9), (5, 12)),
    "conv": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 7, 7)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), (2, 4, 7, 7)),
    "1d": (lambda: nn.Conv1d(4, 6, 3), (2, 4, 9)),
    "3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 4, 3), (2, 4, 5, 5)),
}
INTEGERS = {torch.float32: np.uint32, torch.float16: np.uint16, torch.bfloat16: np.uint16}


def made(kind="linear", dtype=torch.float32):
    torch.manual_seed(0)
    build, shape = LAYERS[kind]
    return nn.Sequential(build(), nn.Tanh()).to(dtype).eval(), torch.randn(shape).to(dtype)


def words(weight):
    """Its words, as unsigned integers."""
    return bits_of(weight).numpy().view(INTEGERS[weight.dtype]).reshape(-1)


def bits_of(weight):
    whole = torch.int32 if weight.dtype is torch.float32 else torch.int16
    return weight.detach().contiguous().view(whole)


def upset_by_hand(model, faults):
    """A copy whose stored bits are flipped one by one."""
    upset = copy.deepcopy(model)
    layers = dict(upset.named_modules())
    for site, word, bit in faults:
        words(layers[site].weight)[word] ^= INTEGERS[layers[site].weight.dtype](1 << bit)
    return upset


def injector(model, **settings):
    return FaultInjector(model, **{"quantizer": "float", "ber": 0.02, "seed": 1, **settings})


def same(one, other):
    return torch.equal(bits_of(one), bits_of(other))


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_computes_with_the_upsets_reported(kind):
    model, x = made(kind)
    with injector(model) as under, torch.no_grad():
        y = model(x)
        faults = under.faults()
    assert len(faults) > 5
    assert same(y, upset_by_hand(model, faults)(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_words_of_16_bits(dtype):
    if dtype is torch.float16 and torch.__version__ < "2":
        pytest.skip("torch 1 has no float16 linear layer on the CPU")
    model, x = made(dtype=dtype)
    with injector(model, ber=0.1) as under, torch.no_grad():
        y = model(x)
        faults = under.faults()
    assert max(fault.bit for fault in faults) == 15
    assert same(y, upset_by_hand(model, faults)(x))


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_cache": False},
        {"persistence": "per_forward"},
        {"bits": "msb", "ber": 0.3},
        {"bits": [0, 23, 30], "ber": 0.3},
        {"mode": "stuck_at", "stuck_at": 0, "ber": 0.1},
        {"mode": "asymmetric", "asymmetric": {"zero_to_one": 0.5, "one_to_zero": 1.0}},
        {"mode": "mbu", "mbu": {"sizes": {1: 0.5, 3: 0.5}}},
        {"mode": "exact_count", "upsets": 40, "ber": None},
        {"protection": {"scheme": "secded_39_32", "on_detected": "zero"}},
        {"protection": {"scheme": "tmr", "bits": [31, 30, 29]}, "ber": 0.2},
        {"protection": {"scheme": "parity", "bits": "msb", "on_detected": "keep"}},
    ],
)
def test_every_fault_model_and_protection(settings):
    model, x = made("conv")
    with injector(model, **settings) as under, torch.no_grad():
        y = model(x)
        faults = under.faults()
    assert faults
    assert same(y, upset_by_hand(model, faults)(x))


def test_maps_are_those_of_the_name_the_words_and_their_32_bits():
    model, x = made()
    with injector(model) as under, torch.no_grad():
        model(x)
        expected = draw_fault_map(Stream(1, "0"), 12 * 9, 32, 0.02)
        assert under.faults() == faults_of("0", expected)


def test_several_forwards_and_trials():
    model, x = made("conv")
    with injector(model) as under, torch.no_grad():
        for trial in (0, 1, 0):
            under.start_trial(trial)
            for _ in range(2):
                y = model(x)
            assert same(y, upset_by_hand(model, under.faults())(x))


def test_nothing_is_left_behind():
    model, x = made("conv")
    signalling = torch.tensor([0x7FA00001], dtype=torch.int32).view(torch.float32)
    with torch.no_grad():
        model[0].weight.view(-1)[3:4] = signalling
    weight, before = model[0].weight, copy.deepcopy(model.state_dict())
    inside = vars(model[0]).copy()
    clean = model(x)
    with injector(model, ber=0.5), torch.no_grad():
        model(x)
    assert model[0].weight is weight and vars(model[0]) == inside
    assert all(same(value, before[name]) for name, value in model.state_dict().items())
    assert same(model(x), clean)


def test_a_layer_that_raises_keeps_its_weight():
    model, _ = made()
    weight = model[0].weight
    with pytest.raises(RuntimeError), injector(model), torch.no_grad():
        model(torch.zeros(2, 5))
    assert model[0].weight is weight


def test_gradients_pass_straight_through():
    model, x = made("conv")
    with injector(model, bits=list(range(22))) as under:
        model(x).sum().backward()
        faults = under.faults()
    upset = upset_by_hand(model, faults)
    upset(x).sum().backward()
    assert faults
    assert same(model[0].weight.grad, upset[0].weight.grad)
    assert same(model[0].bias.grad, upset[0].bias.grad)


def test_words_read_as_infinity_are_counted():
    model, x = made()
    nn.init.ones_(model[0].weight)
    faults = [Fault("0", 4, 30), Fault("0", 7, 31)]
    with injector(model, ber=None, mode="fault_list", faults=faults) as under, torch.no_grad():
        model(x)
        model(x)
    assert under.statistics()["0"].nan_inf == 1
    assert under.statistics()["0"].upsets == 2


def test_a_campaign_with_and_without_reuse(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    images = torch.randn(60, 1, 8, 8)
    with torch.no_grad():
        labels = model(images).argmax(1)

    def evaluate():
        with torch.no_grad():
            return (model(images).argmax(1) == labels).float()

    def rows(name, memory):
        settings = {"ber": [1e-5, 1e-3], "trials": 6, "seed": 3, "max_drop": None}
        Campaign(
            model,
            evaluate,
            quantizer="float",
            output=tmp_path / name,
            reuse_memory=memory,
            **settings,
        ).run()
        lines = (tmp_path / name / "trials.jsonl").read_text().splitlines()
        return [{**json.loads(line), "seconds": None} for line in lines]

    reused = rows("reused", "auto")
    assert len(reused) == 13 and reused[0] != reused[1]
    assert reused == rows("plain", 0)


def test_layers_that_an_adapter_knows_are_left_to_it():
    model = Net()
    model.head = nn.Linear(3, 2)
    named = [site.name for site in injector(model).sites]
    assert named == ["head"]
    assert "head" not in [site.name for site in FaultInjector(model, ber=0.1).sites]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.words.weight


def parametrized():
    torch.manual_seed(0)
    return nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)))


@pytest.mark.parametrize(
    "model, error, message",
    [
        (Net, SiteError, "quantizer: float, but Net has no convolution or linear layer"),
        (Tied, SiteError, "layer 'head': its weight is that of words, too"),
        (parametrized, SiteError, "layer '0': its weight is computed in each forward"),
        (lambda: made()[0].double(), SiteError, "layer '0': its weight has torch.float64; allowed"),
    ],
)
def test_what_is_no_memory_of_plain_words_is_an_error(model, error, message):
    with pytest.raises(error, match=message):
        injector(model()).enable()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"encoding": "gray"}, "encoding: gray is of codes; quantizer float has none"),
        ({"quantizer": "flaot"}, "quantizer: must be one of rfquant.* did you mean 'float'"),
        ({"bits": [32]}, r"bits: must be .* in 0 \.\.\. 31"),
        ({"targets": "activations"}, "targets: activations, but the adapter of site '0' names"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises((ConfigError, SiteError), match=message):
        injector(made()[0], **settings)


def test_a_plain_model_is_an_error_unless_floats_are_asked_for():
    with pytest.raises(SiteError, match=r"has no quantized layer.* or name quantizer: float"):
        FaultInjector(made()[0], ber=0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_word_of_16_bits_has_no_bit_above_15(dtype):
    """Also where what is read depends on what is stored, whose sign must not spread."""
    if dtype is torch.float16 and torch.__version__ < "2":
        pytest.skip("torch 1 has no float16 linear layer on the CPU")
    model = torch.nn.Sequential(torch.nn.Linear(16, 64)).to(dtype).eval()
    guard = {"scheme": "parity", "data_bits": 16, "on_detected": "zero"}
    injector = FaultInjector(model, ber=0.02, seed=1, quantizer="float", protection=guard)
    clean = model[0].weight.detach().clone()
    with injector, torch.no_grad():
        model(torch.ones(1, 16, dtype=dtype))
        read = torch.cat([model[0](one) for one in torch.eye(16).to(dtype).split(1)])
        found = injector.faults()
    assert found and max(fault.bit for fault in found) < 16
    assert torch.equal(model[0].weight, clean) and read.shape == (16, 64)


def test_a_loop_of_ones_own_may_add_a_clean_and_a_faulted_loss():
    """Clean forwards inside ``suspended``: the gradient is that of both."""
    torch.manual_seed(0)
    model, x = torch.nn.Sequential(torch.nn.Linear(8, 4)), torch.randn(3, 8)
    weight = model[0].weight
    asked = {"quantizer": "float", "bits": [20, 21, 22], "enable_in_training": True}
    with FaultInjector(model, ber=0.05, seed=1, persistence="static", **asked) as injector:
        model.train()

        def losses():
            with injector.suspended():
                clean = model(x).square().sum()
            return clean, model(x).square().sum()

        (clean,) = torch.autograd.grad(losses()[0], weight)
        (faulted,) = torch.autograd.grad(losses()[1], weight)
        (both,) = torch.autograd.grad(sum(losses()), weight)
    assert not torch.equal(clean, faulted)
    assert torch.allclose(both, clean + faulted)
