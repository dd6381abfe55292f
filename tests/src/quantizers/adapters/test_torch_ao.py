"""torch.ao's layers of quantization-aware training, made by torch.ao itself."""

import pytest
import torch
from torch import nn

from seu_plugin import FaultInjector
from seu_plugin.errors import InjectionError, SiteError
from seu_plugin.quantizers.sites import all_sites

ao = pytest.importorskip("torch.ao.quantization")
pytestmark = pytest.mark.filterwarnings("ignore:torch.ao", "ignore:.*reduce_range")


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 6, 3), nn.Linear(6, 5)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class Fused(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU()
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        return self.fc(self.relu(self.bn(self.conv(x))).mean((2, 3)))


def weights(**more):
    """A weight quantizer; axis 0 if it is per channel."""
    observer = ao.PerChannelMinMaxObserver if "ch_axis" in more else ao.MinMaxObserver
    default = {"dtype": torch.qint8, "quant_min": -128, "quant_max": 127}
    return ao.FakeQuantize.with_args(observer=observer, **{**default, **more})


QUANTIZERS = {
    "default": ao.default_weight_fake_quant,
    "default per channel": ao.default_per_channel_weight_fake_quant,
    "fused": getattr(ao, "default_fused_per_channel_wt_fake_quant", None),
    "4 bits per channel": weights(
        quant_min=-8, quant_max=7, ch_axis=0, qscheme=torch.per_channel_symmetric
    ),
    "narrow": weights(quant_min=-7, quant_max=7, qscheme=torch.per_tensor_symmetric),
    "affine": weights(quant_min=-8, quant_max=7, qscheme=torch.per_tensor_affine),
    "unsigned": weights(
        dtype=torch.quint8, quant_min=0, quant_max=31, ch_axis=0, qscheme=torch.per_channel_affine
    ),
}


def made(kind=Plain, quantizer="4 bits per channel"):
    """After one forward with observers, which then stay as they are."""
    torch.manual_seed(0)
    weight = QUANTIZERS[quantizer] or pytest.skip("not in this torch")
    model = kind().train()
    if kind is Fused:
        ao.fuse_modules_qat(model, ["conv", "bn", "relu"], inplace=True)
    model.qconfig = ao.QConfig(activation=ao.default_fake_quant, weight=weight)
    model = ao.prepare_qat(model)
    with torch.no_grad():
        model(images())
    return model.eval().apply(ao.disable_observer)


def images():
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def injector(model, **settings):
    unsigned = not all_sites(model)[0].signed
    encoding = "unsigned" if unsigned else "twos_complement"
    return FaultInjector(model, **{"ber": 0.05, "seed": 1, "encoding": encoding, **settings})


def codes(model, run):
    """By name, the codes of what each weight quantizer gives in a run; from its own numbers."""
    found, handles = {}, []
    for site in all_sites(model):

        def note(module, args, value, name=site.name):
            shape = [-1, *[1] * (value.dim() - 1)] if module.is_per_channel else []
            steps = value.detach() / module.scale.reshape(shape)
            assert (steps - steps.round()).abs().max() < 1e-3
            found[name] = (steps.round() + module.zero_point.reshape(shape)).int()

        handles.append(site.quantizer.register_forward_hook(note))
    with torch.no_grad():
        run(images())
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("mode", ["ber", "stuck_at"])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("kind", [Plain, Fused])
def test_flipped_bits_are_those_reported(kind, quantizer, mode):
    model = made(kind, quantizer)
    before = codes(model, model)
    assert len(before) == 2
    with injector(model, mode=mode) as one:
        after = codes(model, model)
        widths = {site.name: site.width for site in one.sites}
        found = {
            (name, word, bit)
            for name, old in before.items()
            for word, flips in enumerate((old ^ after[name]).flatten().tolist())
            for bit in range(widths[name])
            if flips >> bit & 1
        }
        assert found == {tuple(fault) for fault in one.faults()}
    assert sum(site.upsets for site in one.statistics().values()) == len(found) > 0


@pytest.mark.parametrize("kind", [Plain, Fused])
def test_all_is_as_before(kind):
    model = made(kind)
    with torch.no_grad():
        clean, state = model(images()), {k: v.clone() for k, v in model.state_dict().items()}
        with injector(model):
            assert not torch.equal(model(images()), clean)
        assert torch.equal(model(images()), clean)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("kind", [Plain, Fused])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_clean_is_what_the_quantizer_gives_and_changes_nothing(kind, quantizer):
    model = made(kind, quantizer).apply(ao.enable_observer)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    clean = [site.clean(site.width) for site in all_sites(model)]
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    model.apply(ao.disable_observer)
    given = []
    for site in all_sites(model):
        site.quantizer.register_forward_hook(lambda module, args, value: given.append(value))
    with torch.no_grad():
        model(images())
    assert all(torch.equal(one, other) for one, other in zip(clean, given))


@pytest.mark.parametrize(
    ("quantizer", "told"),
    [("default", (8, True, False)), ("narrow", (4, True, True)), ("unsigned", (5, False, False))],
)
def test_widths_come_from_the_codes(quantizer, told):
    for site in all_sites(made(quantizer=quantizer)):
        assert (site.width, site.signed, site.narrow) == told


def test_layers_of_a_graph_are_sites():
    from torch.ao.quantization.quantize_fx import prepare_qat_fx

    mapping = ao.get_default_qat_qconfig_mapping("qnnpack")
    model = prepare_qat_fx(Plain().train(), mapping, (images(),))
    model(images())
    model.eval().apply(ao.disable_observer)
    with injector(model) as one, torch.no_grad():
        model(images())
    assert [name for name, site in one.statistics().items() if site.upsets] == ["conv", "fc"]


def test_weights_are_requantized_while_an_observer_learns():
    model = made().apply(ao.enable_observer)
    quantizer = model.fc.weight_fake_quant
    with injector(model), torch.no_grad():
        model(images())
        before = quantizer.scale.clone()
        model.fc.weight.mul_(3)
        model(images())
        assert (quantizer.scale > 2 * before).all()


def test_codes_that_are_of_no_width_are_refused():
    model = made()
    observer = model.fc.weight_fake_quant.activation_post_process
    observer.quant_min = -5
    with pytest.raises(SiteError, match=r"layer 'fc': its codes -5 \.\.\. 7 must be all those of"):
        injector(model).enable()


def test_fake_quantization_that_is_off_is_refused():
    with pytest.raises(SiteError, match=r"layer 'conv': its fake quantization is switched off"):
        injector(made().apply(ao.disable_fake_quant)).enable()


def test_fake_quantization_switched_off_meanwhile_is_refused():
    model = made()
    one = injector(model).enable()
    model.apply(ao.disable_fake_quant)
    with pytest.raises(InjectionError, match="it does not quantize"), torch.no_grad():
        model(images())
    one.release()


def test_per_channel_scales_that_no_observer_has_set_are_refused():
    model = Plain().train()
    model.qconfig = ao.get_default_qat_qconfig("fbgemm")
    model = ao.prepare_qat(model).eval()
    told = r"layer 'conv': its weight_fake_quant needs a scale for each of 6 channels and has [01]:"
    with pytest.raises(SiteError, match=told + " observers have seen nothing yet; run the model"):
        injector(model).enable()
    model.train()(images())
    with injector(model.eval()), torch.no_grad():
        model(images())


def with_weights(quantizer):
    """A layer whose weight ``quantizer`` is to quantize, whatever it is."""
    config = ao.QConfig(activation=nn.Identity, weight=lambda factory_kwargs=None: quantizer)
    return nn.Sequential(torch.ao.nn.qat.Conv2d(1, 6, 3, qconfig=config)).train()


NO_CODES = {
    "MinMaxObserver": lambda: ao.MinMaxObserver(dtype=torch.qint8),
    "NoopObserver": lambda: ao.NoopObserver(dtype=torch.float16),
    "PlaceholderObserver": lambda: ao.PlaceholderObserver(dtype=torch.float16),
    "Identity": nn.Identity,
}


@pytest.mark.parametrize("kind", NO_CODES)
def test_what_gives_no_integer_codes_is_refused_in_one_line(kind):
    model = with_weights(NO_CODES[kind]())
    model(images())
    told = f"layer '0': its weight_fake_quant is a {kind}, which gives no integer codes; exclude it"
    with pytest.raises(SiteError, match=told) as raised:
        FaultInjector(model, ber=0.05, seed=1).enable()
    assert "\n" not in str(raised.value)


def learning(qscheme, quant_min, quant_max):
    """After one forward that set its scales; from then on they are learned."""
    kind = pytest.importorskip("torch.ao.quantization._learnable_fake_quantize")
    by_channel = "channel" in qscheme
    quantizer = kind._LearnableFakeQuantize(
        ao.PerChannelMinMaxObserver if by_channel else ao.MinMaxObserver,
        quant_min,
        quant_max,
        channel_len=6 if by_channel else -1,
        dtype=torch.qint8 if quant_min < 0 else torch.quint8,
        qscheme=getattr(torch, qscheme),
    )
    torch.manual_seed(0)
    model = with_weights(quantizer)
    model(images())
    quantizer.enable_param_learning()
    with torch.no_grad():  # as an optimizer leaves them
        quantizer.scale.mul_(1.1)
        quantizer.zero_point.add_(-1.4 if quant_min < 0 else 1.4)
    return model.eval()


def given(model):
    """The values that the layer computes with in a forward."""
    found = []
    note = model[0].weight_fake_quant.register_forward_hook(lambda *one: found.append(one[-1]))
    model(images())
    note.remove()
    return found[0].detach().clone()


@pytest.mark.parametrize("bounds", [(-8, 7), (0, 15)])
@pytest.mark.parametrize("symmetry", ["symmetric", "affine"])
@pytest.mark.parametrize("by", ["per_tensor", "per_channel"])
def test_scales_that_are_learned(by, symmetry, bounds):
    model = learning(f"{by}_{symmetry}", *bounds)
    (site,) = all_sites(model)
    assert (site.width, site.signed, site.narrow) == (4, bounds[0] < 0, False)
    clean, grid = site.clean(4), site.grid(4)
    assert torch.equal(clean, given(model))
    codes = grid.codes(clean)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    with injector(model) as one:
        flips = (codes ^ grid.codes(given(model))).flatten().tolist()
        found = {("0", w, b) for w, flip in enumerate(flips) for b in range(4) if flip >> b & 1}
        assert found == {tuple(fault) for fault in one.faults()} and found
    assert torch.equal(given(model), clean)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_gradients_of_scales_that_are_learned_pass():
    model = learning("per_channel_affine", -8, 7)
    with injector(model):
        model(images()).sum().backward()
    quantizer = model[0].weight_fake_quant
    assert all(one.grad.isfinite().all() for one in (quantizer.scale, model[0].weight))
    assert quantizer.scale.grad.any() and model[0].weight.grad.any()
