"""Scales along any axis of a weight: what a layer computes with has the upsets reported."""

from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import toy
from affine import example, registered
from seu_plugin import FaultInjector
from seu_plugin.errors import InjectionError, SiteError
from seu_plugin.quantizers import hookimpl, layers

WIDTH = 4
OPERATIONS = (
    *("linear", "conv1d", "conv2d", "conv3d"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
)
#: Layers by what is special about them, and what goes in.
KINDS = {
    "linear": (lambda: nn.Linear(6, 8), (2, 6)),
    "1d": (lambda: nn.Conv1d(6, 8, 3), (2, 6, 5)),
    "2d": (lambda: nn.Conv2d(6, 8, 3), (2, 6, 5, 5)),
    "3d": (lambda: nn.Conv3d(4, 6, 2), (2, 4, 3, 3, 3)),
    "square": (lambda: nn.Conv2d(16, 16, 3), (1, 16, 4, 4)),
    "grouped": (lambda: nn.Conv2d(8, 12, 3, groups=4), (2, 8, 5, 5)),
    "depthwise": (lambda: nn.Conv2d(8, 8, 3, groups=8), (2, 8, 5, 5)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(6, 8, 3), (2, 6, 5)),
    "transposed 2d": (lambda: nn.ConvTranspose2d(6, 8, 3), (2, 6, 5, 5)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(4, 6, 2), (2, 4, 3, 3, 3)),
    "transposed square": (lambda: nn.ConvTranspose2d(16, 16, 3), (1, 16, 4, 4)),
    "transposed grouped": (lambda: nn.ConvTranspose2d(8, 12, 3, groups=4), (2, 8, 4, 4)),
    "transposed depthwise": (lambda: nn.ConvTranspose2d(8, 8, 3, groups=8), (2, 8, 4, 4)),
}
DIMENSIONS = {name: make().weight.dim() for name, (make, _) in KINDS.items()}
ALONG = [
    (kind, axes)
    for kind, dims in DIMENSIONS.items()
    for axes in [(), *((axis,) for axis in range(dims)), (0, 1)]
]


def along(weight, axes, numbers):
    """``numbers(n)`` of them, shaped so that they lie along ``axes`` of a weight."""
    shape = [size if axis in axes else 1 for axis, size in enumerate(weight.shape)]
    return numbers(torch.Size(shape).numel()).reshape(shape)


def steps(number):
    """Of 0.01 to 1, so that a neighbour's is another grid; no powers of 2."""
    return torch.logspace(-2, 0, number) if number > 1 else torch.full((1,), 0.037)


def given_weight(layer, scale, seed=0):
    """Its codes use all of the width."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(layer.weight.shape, generator=generator) * 4
    layer.weight.data = codes * scale


class LikeRFQuant(toy.Quantizer):
    """With the step size that it is given."""

    def __init__(self, scale, shaped):
        super().__init__(torch.ones(1), (WIDTH,))
        self.register_buffer("scale", scale)
        self.register_buffer("shaped", shaped)

    def get_scale(self, bits, detach=True):
        return self.scale

    def forward(self, x, bits, is_activation=False):
        return (x / self.shaped).round().clamp(-8, 7) * self.shaped


class Quantized:
    """Before a class of torch's: a layer that computes with what its quantizer gives."""

    def forward(self, x):
        weight = self.quantized()
        if isinstance(self, nn.Linear):
            return F.linear(x, weight, self.bias)
        name = f"conv{'_transpose' * self.transposed}{weight.dim() - 2}d"
        return getattr(F, name)(x, weight, self.bias, groups=self.groups)


class OfRFQuant(Quantized):
    bits = (WIDTH, 8)

    def quantized(self):
        return self.quan_w_fn(self.weight, self.bits[0])


class Affine(Quantized):
    def quantized(self):
        return self.quantize(self.weight)


class AffineAdapter:
    @hookimpl
    def seu_sites(self, model):
        found = layers(model, lambda module: isinstance(module, Affine))
        return [example["AffineSite"](name, m, m.quantize) for name, m in found]


@pytest.fixture(autouse=True)
def known():
    with registered(AffineAdapter(), "axes"):
        yield


def of(kind, mixin):
    """A layer whose forward is that of ``mixin``."""
    torch.manual_seed(0)
    layer = KINDS[kind][0]()
    layer.__class__ = type("Layer", (mixin, type(layer)), {})
    return layer


def like_rfquant(kind, axes, scale=None):
    layer = of(kind, OfRFQuant)
    shaped = along(layer.weight, axes, steps)
    given_weight(layer, shaped)
    layer.quan_w_fn = LikeRFQuant(shaped if scale is None else scale(shaped), shaped)
    return layer, Expected(shaped, torch.zeros(()), -8)


def affine(kind, axes):
    layer = of(kind, Affine)
    scale = along(layer.weight, axes, steps)
    zero = along(layer.weight, axes, lambda n: torch.arange(n) % 5 + 6)
    given_weight(layer, scale)
    layer.quantize = example["Affine"](scale, zero, WIDTH)
    return layer, Expected(scale, zero, 0)


class Expected(NamedTuple):
    """The grid of each word, from the numbers that the test itself made."""

    scale: torch.Tensor
    zero: torch.Tensor
    lowest: int

    def codes(self, values):
        """Raises AssertionError for a value that is none of the grid, to the last bit."""
        found = (values / self.scale).round() + self.zero
        assert torch.equal((found - self.zero) * self.scale, values)
        assert self.lowest <= found.min() and found.max() < self.lowest + (1 << WIDTH)
        return found.int()


@pytest.fixture
def used(monkeypatch):
    """The weights that torch's operations were called with, one after the other."""
    found = []
    for name in OPERATIONS:
        operation = getattr(F, name)

        def note(x, weight, *args, operation=operation, **kwargs):
            found.append(weight.detach().clone())
            return operation(x, weight, *args, **kwargs)

        monkeypatch.setattr(F, name, note)
    return found


def flips(before, after):
    """(word, bit) of every bit that differs."""
    changed = enumerate((before ^ after).flatten().tolist())
    return {(word, bit) for word, mask in changed for bit in range(WIDTH) if mask >> bit & 1}


def check(layer, expected, x, used, **settings):
    """Clean and under upsets: on the grid of its own channel, and differing as reported."""
    model = nn.Sequential(layer).eval()
    encoding = "twos_complement" if expected.lowest < 0 else "unsigned"
    with torch.no_grad():
        model(x)
    asked = {"ber": 0.05, "seed": 1, "encoding": encoding, **settings}
    with FaultInjector(model, **asked) as injector:
        for grad in (False, True):  # the second is given what the first has kept
            with torch.set_grad_enabled(grad):
                model(x)
            found = flips(expected.codes(used[0]), expected.codes(used[-1]))
            assert found == {(fault.word, fault.bit) for fault in injector.faults()}
            assert found
    assert len(used) == 3


def run_of(kind):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(KINDS[kind][1], generator=generator)


@pytest.mark.parametrize(("kind", "axes"), ALONG)
@pytest.mark.parametrize("make", [like_rfquant, affine])
def test_upsets_are_those_reported_on_the_grid_of_their_channel(make, kind, axes, used):
    check(*make(kind, axes), run_of(kind), used)


MODES = {
    "stuck_at": {},
    "asymmetric": {"asymmetric": {"zero_to_one": 0.5, "one_to_zero": 2.0}},
    "mbu": {"mbu": {"sizes": {1: 0.5, 3: 0.5}}},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axes", [(0,), (1,)])
def test_fault_models_know_the_axis(mode, axes, used):
    kind = "transposed square"
    check(*like_rfquant(kind, axes), run_of(kind), used, mode=mode, **MODES[mode])


def in_memory(weight, order):
    """The same words, in another order in memory."""
    back = [order.index(axis) for axis in range(len(order))]
    return weight.permute(order).contiguous().permute(back)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (1, 0, 2, 3), (3, 2, 1, 0)])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("cache", [True, False])
def test_words_are_counted_as_they_are_indexed(order, axes, cache, used):
    """Whatever their order in memory: (0, 2, 3, 1) is torch.channels_last."""
    kind = "transposed square"
    layer, expected = like_rfquant(kind, axes)
    layer.weight.data = in_memory(layer.weight.data, order)
    check(layer, expected, run_of(kind), used, weight_cache=cache)


def output_axis(kind):
    return int(kind.startswith("transposed"))


#: Their output channels lie along no axis.
IN_GROUPS = ["transposed grouped", "transposed depthwise"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in IN_GROUPS])
def test_a_list_is_of_output_channels(kind, used):
    layer, expected = like_rfquant(kind, (output_axis(kind),), torch.flatten)
    check(layer, expected, run_of(kind), used)


@pytest.mark.parametrize("kind", IN_GROUPS)
def test_a_list_of_output_channels_that_lie_along_no_axis_is_refused(kind):
    layer, _ = like_rfquant(kind, (), lambda shaped: steps(KINDS[kind][0]().out_channels))
    with pytest.raises(SiteError, match="neither per tensor nor per channel"):
        FaultInjector(nn.Sequential(layer), ber=0.1).enable()


@pytest.mark.parametrize("kind", ["square", "transposed square"])
def test_a_list_is_never_of_input_channels(kind):
    """Where both are of one number: the words of the wrong channels are noticed."""
    layer, _ = like_rfquant(kind, (1 - output_axis(kind),), torch.flatten)
    model = nn.Sequential(layer)
    with pytest.raises(InjectionError, match="they are no quantized memory"), torch.no_grad():
        with FaultInjector(model, ber=0.1, seed=1):
            model(run_of(kind))


# torch.ao's layers

#: The class of a layer, and of the BatchNorm that it may be fused with.
AO = {
    "linear": ("Linear", nn.BatchNorm1d),
    "1d": ("Conv1d", nn.BatchNorm1d),
    "2d": ("Conv2d", nn.BatchNorm2d),
    "3d": ("Conv3d", nn.BatchNorm3d),
    "square": ("Conv2d", nn.BatchNorm2d),
    "grouped": ("Conv2d", nn.BatchNorm2d),
    "depthwise": ("Conv2d", nn.BatchNorm2d),
}
AO_ALONG = [(k, axes) for k, axes in ALONG if k in AO and len(axes) < 2]


def of_torch_ao(kind, axes, fused):
    """Made by torch.ao itself; then its scales and zero points are set."""
    ao = pytest.importorskip("torch.ao.quantization")
    qat = pytest.importorskip("torch.ao.nn.qat")
    observer = ao.PerChannelMinMaxObserver if axes else ao.MinMaxObserver
    how = {"qscheme": torch.per_channel_affine, "ch_axis": axes[0]} if axes else {}
    how = {"qscheme": torch.per_tensor_affine, "dtype": torch.qint8, **how}
    weight = ao.FakeQuantize.with_args(observer=observer, quant_min=-8, quant_max=7, **how)
    qconfig = ao.QConfig(activation=nn.Identity, weight=weight)
    torch.manual_seed(0)
    layer, (name, norm) = KINDS[kind][0](), AO[kind]
    layer.qconfig = qconfig
    if fused:
        pair = nn.Sequential(layer, norm(layer.weight.shape[0])).train()
        pair = ao.fuse_modules_qat(pair, [["0", "1"]])
        pair.qconfig = pair[0].qconfig = qconfig
        layer = ao.prepare_qat(pair)[0]
        layer.bn.weight.data = torch.linspace(0.5, 2, len(layer.bn.weight))
    else:
        layer = getattr(qat, name).from_float(layer)
    layer.weight_fake_quant(layer.weight.detach())  # its observer knows how many there are
    layer.apply(ao.disable_observer)
    scale = along(layer.weight, axes, steps)
    zero = along(layer.weight, axes, lambda n: torch.arange(n) % 5 - 2)
    given_weight(layer, scale)
    layer.weight_fake_quant.scale.copy_(scale.flatten())
    layer.weight_fake_quant.zero_point.copy_(zero.flatten())
    return layer, Expected(scale, zero, -8)


@pytest.mark.filterwarnings("ignore:torch.ao", "ignore:.*reduce_range")
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("kind", "axes"), AO_ALONG)
def test_layers_of_torch_ao(kind, axes, fused, used):
    check(*of_torch_ao(kind, axes, fused), run_of(kind), used)
