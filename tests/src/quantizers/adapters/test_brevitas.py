"""Brevitas's layers, made by Brevitas itself."""

import pytest
import torch
from torch import nn

from seu_plugin import FaultInjector
from seu_plugin.errors import InjectionError, SiteError
from seu_plugin.quantizers.registry import found_by
from seu_plugin.quantizers.sites import all_sites

qnn = pytest.importorskip("brevitas.nn")
quant = pytest.importorskip("brevitas.quant")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

#: Weight quantizers, and the widths that they are used at.
QUANTIZERS = {
    "per tensor": quant.Int8WeightPerTensorFloat,
    "per channel": quant.Int8WeightPerChannelFloat,
    "power of two": quant.Int8WeightPerTensorFixedPoint,
    "zero points": quant.ShiftedUint8WeightPerChannelFloat,
    "zero point": quant.ShiftedUint8WeightPerTensorFloat,
    "wide": quant.Int8WeightPerTensorFloat.let(narrow_range=False),
    "learned": quant.Int8WeightPerChannelFloat.let(scaling_impl_type="parameter_from_stats"),
    "learned width": quant.Int8WeightPerTensorFloat.let(bit_width_impl_type="parameter"),
    "searched": quant.Int8WeightPerTensorFixedPointMSE,
    "normalized": quant.Int8WeightNormL2PerChannelFixedPoint,
    "at random": quant.Int8WeightPerTensorFloat.let(float_to_int_impl_type="stochastic_round"),
    "by group": quant.MXInt8Weight,
    "by group, zero points": quant.ShiftedMXUInt8Weight,
}
LAYERS = {
    "conv": lambda **how: qnn.QuantConv2d(4, 6, 3, **how),
    "grouped": lambda **how: qnn.QuantConv2d(4, 8, 3, groups=2, **how),
    "transposed": lambda **how: qnn.QuantConvTranspose2d(4, 6, 3, **how),
    "square transposed": lambda **how: qnn.QuantConvTranspose2d(4, 4, 3, **how),
    "1-d": lambda **how: qnn.QuantConv1d(4, 6, 3, **how),
    "3-d": lambda **how: qnn.QuantConv3d(4, 6, 2, **how),
    "linear": lambda **how: qnn.QuantLinear(4, 6, bias=True, **how),
    "embedding": lambda **how: qnn.QuantEmbedding(8, 4, **how),
}
#: Brevitas's embeddings take one scale alone.
OFFERED = [
    *((kind, quantizer) for kind in LAYERS if kind != "embedding" for quantizer in QUANTIZERS),
    *(("embedding", name) for name in ("per tensor", "zero point", "wide", "learned width")),
]
INPUTS = {
    "1-d": (2, 4, 8),
    "3-d": (2, 4, 4, 4, 4),
    "linear": (3, 4),
}


class One(nn.Module):
    """One layer, and what it is given."""

    def __init__(self, kind="conv", quantizer="per channel", width=4, **more):
        super().__init__()
        torch.manual_seed(0)
        group = {"group_size": 2} if quantizer.startswith("by group") else {}
        group.update({"group_size": more.pop("group_size")} if "group_size" in more else {})
        how = {"weight_quant": QUANTIZERS[quantizer].let(bit_width=width, **group), **more}
        self.layer = LAYERS[kind](**how)
        generator = torch.Generator().manual_seed(1)
        self.given = torch.randn(INPUTS.get(kind, (2, 4, 6, 6)), generator=generator)
        if kind == "embedding":
            self.given = torch.randint(8, (5,), generator=generator)

    def forward(self):
        return self.layer(self.given)


def injector(model, **settings):
    signed = all_sites(model)[0].signed
    encoding = "twos_complement" if signed else "unsigned"
    return FaultInjector(model, **{"ber": 0.05, "seed": 1, "encoding": encoding, **settings})


def computed_with(model):
    """The codes that the layer computes with in one forward; from Brevitas's own numbers."""
    found = []

    def note(module, args, result):
        steps = result.value.detach() / result.scale
        assert (steps - steps.round()).abs().max() < 1e-3
        found.append((steps.round() + result.zero_point).int())

    handle = model.layer.weight_quant.register_forward_hook(note)
    with torch.no_grad():
        torch.manual_seed(3)
        model()
    handle.remove()
    (codes,) = found
    return codes


def flipped(before, after, width):
    return {
        ("layer", word, bit)
        for word, flips in enumerate((before ^ after).flatten().tolist())
        for bit in range(width)
        if flips >> bit & 1
    }


@pytest.mark.parametrize("mode", ["ber", "stuck_at"])
@pytest.mark.parametrize(("kind", "quantizer"), OFFERED)
def test_flipped_bits_are_those_reported(kind, quantizer, mode):
    model = One(kind, quantizer).eval()
    before = computed_with(model)
    with injector(model, mode=mode) as one:
        after = computed_with(model)
        found = flipped(before, after, 4)
        assert found == {tuple(fault) for fault in one.faults()}
        assert sum(site.upsets for site in one.statistics().values()) == len(found) > 0
    assert torch.equal(computed_with(model), before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("quantizer", ["by group", "by group, zero points"])
@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind != "embedding"])
def test_groups_that_do_not_divide_the_weight(kind, quantizer, mode):
    model = One(kind, quantizer, group_size=3).eval()
    (site,), given = all_sites(model), []
    state = {k: v.clone() for k, v in model.state_dict().items()}
    before = computed_with(model)
    assert before.shape == site.weight.shape
    model.layer.weight_quant.register_forward_hook(lambda *one: given.append(one[-1].value_))
    with mode():
        clean = model()
        with injector(model) as one:
            assert not torch.equal(model(), clean)
            assert flipped(before, computed_with(model), 4) == {tuple(f) for f in one.faults()}
        assert torch.equal(model(), clean)
    # Padding is no memory: that of the faulted result is that of the clean one.
    axis = model.layer.weight_quant.group_dim
    words = site.weight.shape[axis]
    paddings = [v.flatten(axis, axis + 1).narrow(axis, words, -words % 3) for v in given]
    assert all(torch.equal(one, paddings[0]) for one in paddings) and paddings[0].numel()
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_a_padded_layer_computes_with_the_upset_values():
    model, given = One("linear", "by group", group_size=3).eval(), []
    clean = model.layer.quant_weight().value
    model.layer.weight_quant.register_forward_hook(lambda *one: given.append(one[-1].value))
    model.given, model.layer.bias = torch.eye(4), None
    with torch.no_grad(), injector(model):
        assert torch.equal(model(), given[0].t()) and not torch.equal(given[0], clean)


@pytest.mark.parametrize("quantizer", ["per tensor", "zero points", "wide", "learned width"])
@pytest.mark.parametrize("width", range(2, 9))
def test_every_width(width, quantizer):
    model = One("linear", quantizer, width).eval()
    (site,) = all_sites(model)
    assert (site.width, site.words) == (width, 24)
    before = computed_with(model)
    with injector(model, ber=0.2) as one:
        assert flipped(before, computed_with(model), width) == {tuple(f) for f in one.faults()}


def test_a_faulted_code_may_be_the_one_that_clean_ones_leave_out():
    model = One("linear", "per tensor", 2).eval()
    with injector(model, ber=0.5):
        assert computed_with(model).min() == -2
    assert computed_with(model).min() == -1


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_all_is_as_before(quantizer):
    model = One(quantizer=quantizer).eval()
    with torch.no_grad():
        torch.manual_seed(3)
        clean, state = model(), {k: v.clone() for k, v in model.state_dict().items()}
        with injector(model):
            torch.manual_seed(3)
            assert not torch.equal(model(), clean)
        torch.manual_seed(3)
        assert torch.equal(model(), clean)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert "forward" not in vars(model.layer.weight_quant)


@pytest.mark.parametrize("quantizer", ["learned", "at random"])
def test_enabling_sets_nothing_that_the_first_forward_would(quantizer):
    model, untouched = (One(quantizer=quantizer).eval() for _ in range(2))
    torch.manual_seed(3)
    with injector(model), torch.no_grad():
        model()
    torch.manual_seed(3)
    with torch.no_grad():
        assert torch.equal(model(), untouched()) or quantizer == "at random"
    state = untouched.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_enabling_draws_nothing():
    model = One(quantizer="at random").eval()
    state = torch.random.get_rng_state()
    with injector(model):
        assert torch.equal(torch.random.get_rng_state(), state)
        model()


@pytest.mark.parametrize("quantizer", ["per channel", "zero points", "learned"])
def test_gradients_pass_straight_through(quantizer):
    model = One(quantizer=quantizer).train()
    model.layer.weight_quant(model.layer.weight)  # sets what it learns
    layer = model.layer
    model().sum().backward()
    clean = layer.weight.grad.clone()
    layer.weight.grad = None
    with injector(model) as one:
        model().sum().backward()
        assert one.statistics()["layer"].upsets > 0
    # The sum of a convolution's outputs: its gradient does not depend on the weight's values.
    assert torch.equal(layer.weight.grad, clean)


def test_a_forward_under_no_grad_quantizes_once():
    model, calls = One().eval(), []
    inner = model.layer.weight_quant.tensor_quant
    inner.register_forward_hook(lambda *args: calls.append(1))
    with injector(model, mode="ber", persistence="per_forward"), torch.no_grad():
        for _ in range(3):
            model()
        kept = len(calls)
        model()
    assert len(calls) == kept


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_every_forward_sees_its_own_map(mode):
    model = One("linear").eval()
    before = computed_with(model)
    with injector(model, persistence="per_forward") as one, mode():
        seen = set()
        for _ in range(4):
            result = []
            handle = model.layer.weight_quant.register_forward_hook(
                lambda module, args, value, result=result: result.append(value)
            )
            model()
            handle.remove()
            codes = (result[0].value.detach() / result[0].scale).round().int()
            found = flipped(before, codes, 4)
            assert found == {tuple(fault) for fault in one.faults()}
            seen.add(frozenset(found))
    assert len(seen) == 4


def test_a_quantizer_that_two_layers_share():
    first = qnn.QuantLinear(4, 6, bias=True, weight_quant=QUANTIZERS["per channel"])
    second = qnn.QuantLinear(4, 6, bias=True, weight_quant=first.weight_quant)
    model, given = nn.ModuleList([first, second]).eval(), torch.ones(1, 4)
    assert [site.name for site in all_sites(model)] == ["0", "1"]

    def run():
        with torch.no_grad():
            return torch.cat([layer(given) for layer in model])

    with pytest.raises(SiteError, match="'0' and '1' share one weight quantizer"):
        injector(model)
    clean = run()
    with injector(model, ber=0.3, layers={"include": ["1"]}):
        assert torch.equal(run()[0], clean[0])
        assert not torch.equal(run()[1], clean[1])
    assert torch.equal(run(), clean)


def test_a_layer_without_a_weight_quantizer_is_a_plain_one():
    model = nn.Sequential(
        qnn.QuantConv2d(4, 6, 3, weight_quant=None), qnn.QuantConv2d(6, 4, 3)
    ).eval()
    assert [(found, site.name) for found, site in found_by(model)] == [("brevitas", "1")]
    assert [(found, s.name) for found, s in found_by(model, "float")] == [("float", "0")]
    given = torch.ones(1, 4, 8, 8)
    with torch.no_grad():
        clean = model(given)
        with FaultInjector(model, ber=1e-2, seed=1, quantizer="float") as one:
            assert not torch.equal(model(given), clean)
            assert one.sites[0].width == 32
        assert torch.equal(model(given), clean)


REFUSED = {
    "switched off": (lambda: qnn.QuantLinear(4, 6, bias=True), "is switched off"),
    "float": (
        lambda: qnn.QuantLinear(4, 6, bias=True, weight_quant=quant.Fp8e4m3WeightPerTensorFloat),
        "FloatQuant, gives no integer codes; exclude it",
    ),
    "binary": (
        lambda: qnn.QuantLinear(
            4, 6, bias=True, weight_quant=quant.SignedBinaryWeightPerTensorConst
        ),
        "BinaryQuant, gives no integer codes; exclude it",
    ),
    "of its input": (
        lambda: qnn.QuantLinear(
            4,
            6,
            bias=True,
            weight_quant=quant.Int8AccumulatorAwareWeightQuant,
            input_quant=quant.Int8ActPerTensorFloat,
        ),
        "depends on its input",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_holds_no_codes_is_refused_in_one_line(case):
    make, told = REFUSED[case]
    model = nn.Sequential(make())
    if case == "switched off":
        model[0].weight_quant.disable_quant = True
    with pytest.raises((SiteError, InjectionError)) as raised:
        FaultInjector(model, ber=0.1, seed=1).enable()
    assert told in str(raised.value) and "'0'" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_gates_share_their_quantizer_and_may_be_excluded():
    model = nn.ModuleDict({"fc": qnn.QuantLinear(4, 6, bias=True), "rnn": qnn.QuantRNN(4, 3)})
    with pytest.raises(SiteError, match="share one weight quantizer"):
        FaultInjector(model, ber=0.1, seed=1)
    one = FaultInjector(model, ber=0.1, seed=1, layers={"exclude": ["rnn.*"]})
    assert [site.name for site in one.sites] == ["fc"]


def test_upsets_of_one_gate():
    model, given = nn.Sequential(qnn.QuantRNN(4, 3)).eval(), torch.ones(5, 1, 4)
    with torch.no_grad():
        clean = model(given)[0]
        with FaultInjector(model, ber=0.3, seed=1, layers={"include": ["*.input_weight"]}):
            assert not torch.equal(model(given)[0], clean)
        assert torch.equal(model(given)[0], clean)


def test_one_line_for_a_width_that_is_no_integer():
    model = One(quantizer="learned width").eval()
    site = all_sites(model)[0]
    site._bit_width.register_forward_hook(lambda module, args, value: value + 0.5)
    with pytest.raises(SiteError, match=r"'layer' runs at width 4.5, which is not an integer"):
        FaultInjector(model, ber=0.1, seed=1).enable()
