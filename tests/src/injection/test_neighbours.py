"""Other programs at work on the same model: other injectors, torch's own tools."""

import copy
import gc
import inspect
import io
import math
import pickle
import types
import warnings
import weakref

import pytest
import torch
from torch import nn

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import InjectionError, SeuError, SeuWarning


def forward(model):
    with torch.no_grad():
        return model(toy.batch())


class OtherInjector:
    """Replaces quantizers' forwards, as an injector in a fork of the host does."""

    def __init__(self, model):
        self.quantizer = model.conv2.quan_w_fn

    def enable(self):
        self.original = original = self.quantizer.forward
        self.quantizer.forward = lambda x, bits, **kw: -original(x, bits, **kw)

    def disable(self):
        self.quantizer.forward = self.original


@pytest.mark.parametrize(
    "call", [lambda m: m(toy.batch()), lambda m: m.conv2(torch.zeros(1, 8, 8, 8))]
)
def test_another_injector_that_comes_later_is_an_error_at_the_next_forward(call):
    model = toy.net()
    injector, other = FaultInjector(model, ber=0.1, seed=1).enable(), OtherInjector(model)
    forward(model)
    other.enable()
    with pytest.raises(InjectionError, match=r"forward of a Quantizer was replaced .* disable one"):
        call(model)
    injector.release()


def test_it_is_noticed_at_the_end_if_no_forward_came_after():
    model = toy.net()
    clean = forward(model)
    injector, other = FaultInjector(model, ber=0.1, seed=1).enable(), OtherInjector(model)
    forward(model)
    other.enable()
    with pytest.raises(InjectionError, match="was replaced"):
        injector.disable()
    other.disable()  # puts back what it found: ours, which passes everything on
    assert torch.equal(forward(model), clean)


def test_another_injector_that_came_before_is_an_error():
    model = toy.net()
    other = OtherInjector(model)
    other.enable()
    with pytest.raises(InjectionError, match="another injector"):
        FaultInjector(model, ber=0.1, seed=1).enable()
    assert "forward" not in vars(model)


def test_an_injector_that_is_dropped_gives_the_model_back():
    model = toy.net()
    clean = forward(model)
    with pytest.warns(SeuWarning, match="dropped while enabled"):
        FaultInjector(model, ber=0.3, seed=1).enable()
        gc.collect()
    assert torch.equal(forward(model), clean)
    with FaultInjector(model, ber=0.3, seed=1):  # nobody holds it
        assert not torch.equal(forward(model), clean)


def test_one_that_was_disabled_is_dropped_without_a_word():
    model = toy.net()
    with FaultInjector(model, ber=0.3, seed=1):
        forward(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()


def test_a_loss_outlives_the_injector():
    model = toy.net()
    for quantized in (None, 0.0):
        with FaultInjector(model, ber=1e-3, seed=1):
            loss = model(toy.batch()).sum()
        model.zero_grad()
        loss.backward()
        assert model.conv2.weight.grad.abs().sum() > 0, quantized


@pytest.mark.parametrize(
    ("tool", "what"),
    [
        (lambda m: torch.jit.trace(m, (toy.batch(),)), "cannot be traced"),
        (torch.jit.script, "cannot be scripted"),
        (lambda m: m._replicate_for_data_parallel(), "replicated by DataParallel"),
        (lambda m: m.conv2._replicate_for_data_parallel(), "replicated by DataParallel"),
    ],
)
def test_a_program_made_of_the_model_would_not_have_its_upsets(tool, what):
    model = toy.net()
    injector = FaultInjector(model, ber=0.1, seed=1).enable()
    with pytest.raises(InjectionError, match=f"{what}.*disable first"):
        tool(model)
    injector.release()
    assert not {"forward", "_replicate_for_data_parallel"} & set(vars(model.conv2))


def test_copies_have_nothing_of_ours():
    model = toy.net()
    ours = set(vars(model))
    with FaultInjector(model, ber=0.1, seed=1):
        forward(model)
        twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        file = io.BytesIO()
        torch.save(model, file)
        assert set(vars(model)) > ours  # and are still at work
    file.seek(0)
    load = (
        {"weights_only": False}
        if "weights_only" in inspect.signature(torch.load).parameters
        else {}
    )
    twins += [torch.load(file, **load), pickle.loads(pickle.dumps(twins[0]))]
    for twin in twins:
        for one, other in zip(twin.modules(), model.modules()):
            assert vars(one).keys() == vars(other).keys()
        replica = twin.conv2._replicate_for_data_parallel()
        replica._parameters = {"weight": torch.zeros_like(twin.conv2.weight)}
        assert not replica(torch.randn(1, 8, 8, 8)).any()
        assert torch.equal(forward(twin), forward(model))


@pytest.mark.skipif(not hasattr(torch, "export"), reason="torch.export came with torch 2.1")
def test_export_says_to_disable_first():
    model = toy.net()
    clean = forward(model)
    injector = FaultInjector(model, ber=0.1, seed=1).enable()
    with pytest.raises(Exception, match="disable first"):
        torch.export.export(model, (toy.batch(),))
    injector.release()
    assert torch.equal(forward(model), clean)


@pytest.mark.skipif(not hasattr(torch, "func"), reason="torch.func came with torch 2.0")
def test_transforms_of_the_weights_say_to_disable_first():
    model = toy.net()
    for layer in (model.conv1, model.conv2, model.conv3, model.fc):
        for quantizer in (layer.quan_w_fn, layer.quan_a_fn):
            quantizer.forward = types.MethodType(_straight_through, quantizer)
    parameters = dict(model.named_parameters())

    def loss(parameters):
        return torch.func.functional_call(model, parameters, (toy.batch(),)).sum()

    injector = FaultInjector(model, ber=0.1, seed=1).enable()
    with pytest.raises(SeuError, match="disable first"):
        torch.func.grad(loss)(parameters)
    injector.release()
    torch.func.grad(loss)(parameters)


def _straight_through(self, x, bits, is_activation=False):
    if bits >= 32:
        return x
    ratio = (x / self.get_scale(bits, detach=False)).clamp(*self.grid(bits))
    return (ratio + (ratio.round() - ratio).detach()) * self.get_scale(bits, detach=False)


def test_models_that_cannot_be_injected_into_are_refused_in_one_line():
    lazy = toy.net()
    lazy.conv2.weight = nn.parameter.UninitializedParameter()
    cases = {
        "traced or scripted": torch.jit.trace(nn.Linear(2, 2), (torch.ones(1, 2),)),
        "no shape yet": lazy,
        "meta device": toy.net().to("meta"),
        "received a OrderedDict": toy.net().state_dict(),
    }
    for what, model in cases.items():
        with pytest.raises(SeuError, match=what) as raised:
            FaultInjector(model, ber=0.1)
        assert len(str(raised.value)) <= 400 and "\n" not in str(raised.value)


def test_an_injector_that_its_model_keeps_goes_with_it():
    model = toy.net()
    model.injector = FaultInjector(model, ber=0.3, seed=1).enable()
    forward(model)
    gone = weakref.ref(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del model
        gc.collect()
    assert gone() is None


@pytest.mark.parametrize("scale", [0.0, math.nan, math.inf])
def test_a_step_size_that_is_none_is_refused_before_a_forward(scale):
    model = toy.net()
    model.conv2.quan_w_fn.s.data[2] = scale
    with pytest.raises(SeuError, match="its step size at 4 bits is 0 or no number"):
        FaultInjector(model, ber=0.1).enable()
