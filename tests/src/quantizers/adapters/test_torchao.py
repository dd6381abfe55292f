"""Layers that torchao quantized: integers upset in place, and every bit put back."""

from functools import partial

import pytest
import torch
from torch import nn

from affine import rows_of_campaign
from seu_plugin import FaultInjector
from seu_plugin.errors import SiteError
from seu_plugin.injection import reuse
from seu_plugin.quantizers import StoreSite, hookimpl, layers
from seu_plugin.quantizers.sites import all_sites

ao = None
try:
    import torchao.quantization as ao
    from torchao.quantization.granularity import PerAxis, PerGroup
except ImportError:
    pass
needs_torchao = pytest.mark.skipif(ao is None, reason="torchao is not installed")


def intx(bits, group=None, config="IntxWeightOnlyConfig", key="granularity"):
    granularity = PerAxis(0) if group is None else PerGroup(group)
    dtype = getattr(torch, f"int{bits}")
    return getattr(ao, config)(weight_dtype=dtype, **{key: granularity})


dynamic = {"config": "Int8DynamicActivationIntxWeightConfig", "key": "weight_granularity"}
CONFIGS = {
    "int8": (8, lambda: ao.Int8WeightOnlyConfig()),
    "int8 by group": (8, lambda: ao.Int8WeightOnlyConfig(granularity=PerGroup(16))),
    "int8 with int8 activations": (8, lambda: ao.Int8DynamicActivationInt8WeightConfig()),
    "int4 by group with int8 activations": (4, lambda: intx(4, 16, **dynamic)),
    **{f"int{n}": (n, partial(intx, n)) for n in range(1, 9)},
    **{f"int{n} by group": (n, partial(intx, n, 16)) for n in range(1, 9)},
}
each = pytest.mark.parametrize("config", CONFIGS)


def made(config):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 48, bias=False), nn.ReLU(), nn.Linear(48, 16)).eval()
    ao.quantize_(model, CONFIGS[config][1]())
    return model


injector = partial(FaultInjector, ber=0.05, seed=1)


def values(layer):
    """The weight that a layer computes with, [out, in]: what it gives for unit vectors."""
    with torch.no_grad():
        found = layer(torch.eye(layer.in_features)).T
    return found if layer.bias is None else found - layer.bias[:, None]


def codes(layer):
    """The codes that give these values, by the layer's own scales and zero points."""
    weight = layer.weight
    group = weight.block_size[1]
    scale, zero = (x.float().repeat_interleave(group, 1) for x in (weight.scale, weight.zero_point))
    # An activation of 1 is 127 steps of 2 / 255 where these are int8, too.
    one = 254 / 255 if getattr(weight, "act_quant_kwargs", None) is not None else 1.0
    steps = values(layer) / (scale * one)
    assert (steps - steps.round()).abs().max() < 0.1
    return (steps.round() + zero).int()


def seen(model):
    return {name: codes(model[int(name)]) for name in "02"}


def differing(before, after, width):
    return {
        (name, word, bit)
        for name, old in before.items()
        for word, flips in enumerate((old ^ after[name]).flatten().tolist())
        for bit in range(width)
        if flips >> bit & 1
    }


def bits_of_state(model):
    """Copies of every plain tensor in the state."""
    found = {}
    for name, value in model.state_dict().items():
        parts = getattr(value, "tensor_data_names", None)
        for part in parts or [""]:
            found[name, part] = (getattr(value, part) if parts else value).clone()
    return found


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@needs_torchao
@each
@pytest.mark.parametrize("mode", ["ber", "stuck_at"])
def test_bits_that_differ_in_what_a_layer_computes_are_those_reported(config, mode):
    model, width = made(config), CONFIGS[config][0]
    before = seen(model)
    with injector(model, mode=mode) as one:
        after = seen(model)
        found = differing(before, after, width)
        assert found == {tuple(fault) for fault in one.faults()}
    assert len(found) > 10
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    assert all(low <= int(c.min()) and int(c.max()) <= high for c in after.values())


@needs_torchao
@each
def test_all_is_as_before(config):
    model, images = made(config), torch.randn(8, 32)
    clean, state = model(images), bits_of_state(model)
    with injector(model):
        assert not torch.equal(model(images), clean)
        assert same(bits_of_state(model), state)
    assert same(bits_of_state(model), state) and torch.equal(model(images), clean)


@needs_torchao
@each
def test_widths_are_those_of_the_target_dtype(config):
    found = [(site.name, site.width, site.words, site.signed) for site in all_sites(made(config))]
    width = CONFIGS[config][0]
    assert found == [("0", width, 1536, True), ("2", width, 768, True)]


@needs_torchao
def test_the_weight_of_a_site_is_the_plain_tensor_inside():
    model = made("int4")
    assert all_sites(model)[0].weight is model[0].weight.qdata


@needs_torchao
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_model_quantized_in_inference_mode(mode):
    with torch.inference_mode():
        model = made("int4")
    images, state = torch.randn(8, 32), bits_of_state(model)
    with mode():
        clean = model(images)
        with injector(model):
            assert not torch.equal(model(images), clean)
            assert same(bits_of_state(model), state)
        assert torch.equal(model(images), clean) and same(bits_of_state(model), state)


@needs_torchao
def test_upsets_are_taken_out_after_a_forward_that_failed():
    model = made("int4")
    state = bits_of_state(model)
    with pytest.raises(RuntimeError), injector(model) as one:
        model(torch.randn(8, 32))
        assert one.faults()
        model(torch.randn(8, 31))
    assert same(bits_of_state(model), state)


class Integers(nn.Module):
    """Anybody's layer of codes."""

    def __init__(self, shape):
        super().__init__()
        self.register_buffer("weight", torch.zeros(shape, dtype=torch.int8))

    def forward(self, x):
        return x @ self.weight.float().T


@needs_torchao
def test_faults_are_those_of_any_site_of_that_name_size_and_width(monkeypatch):
    from affine import registered

    class FourBits(StoreSite):
        width = 4

    class Adapter:
        @hookimpl
        def seu_sites(self, model):
            found = layers(model, lambda module: isinstance(module, Integers))
            return [FourBits(name, layer) for name, layer in found]

    other = nn.Sequential(Integers((48, 32)), nn.ReLU(), Integers((16, 48)))
    told = []
    with registered(Adapter(), "integers"):
        for model in (made("int4"), other):
            with injector(model) as one:
                model(torch.ones(1, 32))
                told.append([tuple(fault) for fault in one.faults()])
    assert told[0] == told[1] != []


@needs_torchao
def test_other_layers_are_sites_by_their_weight():
    model = nn.Sequential(nn.Conv2d(3, 8, 3)).eval()
    ao.quantize_(model, intx(4), filter_fn=lambda module, name: name == "0")
    images = torch.randn(1, 3, 8, 8)
    clean = model(images)
    with injector(model):
        assert not torch.equal(model(images), clean)
    assert torch.equal(model(images), clean)


@needs_torchao
@pytest.mark.parametrize("kind", ["Float8", "NF4"])
def test_weights_without_such_integers_are_refused_before_a_forward(kind):
    model = nn.Sequential(nn.Linear(128, 128), nn.Linear(128, 128)).eval()
    ao.quantize_(model, ao.Int8WeightOnlyConfig(), filter_fn=lambda module, name: name == "0")
    if kind == "Float8":
        ao.quantize_(model, ao.Float8WeightOnlyConfig(), filter_fn=lambda m, name: name == "1")
    else:
        weight = ao.to_nf4(model[1].weight.detach(), 64, 256)
        model[1].weight = nn.Parameter(weight, requires_grad=False)
    told = rf"layer '1': its weight must be torchao's Int8Tensor .* received {kind}Tensor"
    with pytest.raises(SiteError, match=told) as raised:
        injector(model).enable()
    assert "\n" not in str(raised.value)
    with injector(model, layers={"include": "*", "exclude": "1"}) as one:
        model(torch.ones(1, 128))
    assert list(one.statistics()) == ["0"]


@needs_torchao
def test_a_target_dtype_that_is_no_integer_of_a_width_is_refused():
    model = made("int4")
    model[0].weight.target_dtype = torch.uint4
    with pytest.raises(SiteError, match=r"layer '0': the target dtype .* received torch.uint4"):
        injector(model).enable()


@needs_torchao
@pytest.mark.parametrize("config", ["int8", "int4 by group"])
def test_a_campaign_has_the_same_rows_with_and_without_reuse(config, tmp_path, monkeypatch):
    monkeypatch.setattr(reuse, "WORTH", 0.0)
    images = torch.randn(32, 32, generator=torch.Generator().manual_seed(1))
    found = [
        rows_of_campaign(made(config), images, tmp_path / str(on), reuse=on)[0]
        for on in (False, True)
    ]
    assert found[0] == found[1]
    assert len({row["metrics"][0] for row in found[0].values()}) > 1
