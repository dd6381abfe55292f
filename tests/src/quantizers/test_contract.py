"""A layer that only its adapter knows: upsets go in, are those reported, and come out again."""

from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from affine import CODE, AffineLinear, example, registered, rows_of_campaign
from seu_plugin import FaultInjector
from seu_plugin.errors import ConfigError, SiteError
from seu_plugin.injection import reuse
from seu_plugin.quantizers import LayerSite, hookimpl, known_adapters, layers

AffineSite = example["AffineSite"]


class Seen(AffineLinear):
    """Keeps the weight that it computed with."""

    def forward(self, x):
        self.used = self.values(self.quantize(self.weight))
        return nn.functional.linear(x, self.used, self.bias)

    def values(self, result):
        return result


class Wrapped(NamedTuple):
    value: torch.Tensor
    scale: Any


class InATuple(Seen):
    """Its quantizer gives more than a tensor."""

    def __init__(self, *args):
        super().__init__(*args)
        plain = self.quantize

        class Quantizer(type(plain)):
            def forward(self, weight):
                return Wrapped(super().forward(weight), self.scale)

        self.quantize = Quantizer(plain.scale, plain.zero_point, plain.width)

    def values(self, result):
        return result.value


class TupleSite(AffineSite):
    def value_of(self, result):
        return result.value

    def with_value(self, result, value):
        return result._replace(value=value)


class SeenAdapter:
    @hookimpl
    def seu_sites(self, model):
        found = layers(model, lambda module: isinstance(module, Seen))
        kinds = {True: TupleSite, False: AffineSite}
        return [kinds[isinstance(m, InATuple)](name, m, m.quantize) for name, m in found]


@pytest.fixture(autouse=True)
def known():
    with registered(SeenAdapter(), "seen"):
        yield


def made(kind=Seen):
    torch.manual_seed(0)
    return nn.Sequential(kind(16, 12), nn.ReLU(), kind(12, 10)).eval()


def injector(model, **settings):
    return FaultInjector(model, **{"ber": 0.05, "seed": 1, "encoding": "unsigned", **settings})


def run(model, grad=False):
    with torch.set_grad_enabled(grad):
        return model(torch.ones(4, 16))


def codes(model):
    """By name, the codes of what each layer computed with."""
    found = {}
    for name in "02":
        layer = model[int(name)]
        quantizer = layer.quantize
        steps = layer.used.detach() / quantizer.scale
        assert (steps - steps.round()).abs().max() < 1e-4
        found[name] = (steps.round() + quantizer.zero_point).int()
    return found


@pytest.mark.parametrize("kind", [Seen, InATuple])
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("mode", ["ber", "stuck_at", "asymmetric"])
def test_flipped_bits_are_those_reported(kind, grad, cache, mode):
    model = made(kind)
    run(model)
    before = codes(model)
    with injector(model, weight_cache=cache, mode=mode) as one:
        for _ in range(2):
            run(model, grad)
            after = codes(model)
            found = {
                (name, word, bit)
                for name, old in before.items()
                for word, flips in enumerate((old ^ after[name]).flatten().tolist())
                for bit in range(5)
                if flips >> bit & 1
            }
            assert found == {tuple(fault) for fault in one.faults()}
    assert sum(site.upsets for site in one.statistics().values()) == len(found) > 0


@pytest.mark.parametrize("kind", [Seen, InATuple])
def test_all_is_as_before(kind):
    model = made(kind)
    clean, state = run(model), {k: v.clone() for k, v in model.state_dict().items()}
    with injector(model):
        assert not torch.equal(run(model), clean)
    assert torch.equal(run(model), clean)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_gradient_passes_to_the_clean_weight():
    model = made()
    run(model, grad=True).sum().backward()
    clean = model[0].weight.grad.clone()
    model.zero_grad()
    with injector(model):
        run(model, grad=True).sum().backward()
    assert clean.shape == model[0].weight.grad.shape


def test_protected_words_are_read_wrong_as_reported():
    model = made()
    run(model)
    before = codes(model)
    with injector(model, protection=[{"scheme": "tmr"}]) as one:
        run(model)
        after = codes(model)
    changed = {n: bin_sum(old ^ after[n]) for n, old in before.items()}
    assert changed == {n: s.residual for n, s in one.statistics().items()}
    assert sum(changed.values()) > 0


def bin_sum(flips):
    return sum(bin(word).count("1") for word in flips.flatten().tolist())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_stay_on_the_grid(dtype):
    model = made().to(dtype)
    with injector(model) as one, torch.no_grad():
        model(torch.ones(4, 16, dtype=dtype))
        for site in one.sites:
            used = site.layer.used
            assert used.dtype is dtype and bool(site.grid(5).holds(used).all())
            assert not torch.equal(used, site.clean(5))


def test_a_grid_that_is_not_the_layers_is_refused_before_the_first_forward(monkeypatch):
    grid = AffineSite.grid
    monkeypatch.setattr(
        AffineSite, "grid", lambda site, width: replace(grid(site, width), zero_point=None)
    )
    with pytest.raises(SiteError, match=r"^site '0': \d+ of 192 words of its clean") as error:
        injector(made()).enable()
    assert "\n" not in str(error.value)


def test_a_scale_by_its_length_alone_is_refused(monkeypatch):
    grid = AffineSite.grid
    monkeypatch.setattr(
        AffineSite, "grid", lambda site, width: grid(site, width).map(lambda x: x.flatten())
    )
    with pytest.raises(SiteError, match="neither per tensor nor per channel"):
        injector(made()).enable()


def test_a_grid_of_another_sign_is_refused(monkeypatch):
    grid = AffineSite.grid
    monkeypatch.setattr(
        AffineSite, "grid", lambda site, width: replace(grid(site, width), signed=True)
    )
    with pytest.raises(SiteError, match=r"must be those of the site, \(5, False, False\)"):
        injector(made()).enable()


def test_an_encoding_that_cannot_hold_the_codes_is_refused():
    with pytest.raises(ConfigError, match="'twos_complement' cannot hold the unsigned codes"):
        injector(made(), encoding="twos_complement")


@pytest.mark.parametrize("target", ["activations", "step_sizes"])
def test_targets_that_the_adapter_does_not_name_are_refused(target):
    with pytest.raises(SiteError, match=f"targets: {target}, but the adapter of site '0'"):
        injector(made(), targets=target)


def test_biases_are_a_target():
    model = made()
    with injector(model, targets="biases", ber=0.3) as one:
        run(model)
    assert one.statistics()["0.bias"].upsets > 0


def test_a_site_says_its_width_and_grid():
    site = LayerSite("a", nn.Linear(1, 1), nn.Identity())
    for ask in (lambda: site.width, lambda: site.grid(4)):
        with pytest.raises(NotImplementedError):
            ask()


def test_the_example_of_the_page_runs(capsys):
    try:
        exec(compile(CODE, "docs/quantizers.md", "exec"), {"__name__": "example"})
    finally:
        known_adapters().unregister(name="affine")
    assert "Upsets made" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [Seen, InATuple])
def test_a_campaign_has_the_same_rows_with_and_without_reuse(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(reuse, "WORTH", 0.0)
    images = torch.randn(32, 16, generator=torch.Generator().manual_seed(1))
    found = [
        rows_of_campaign(made(kind), images, tmp_path / str(on), reuse=on, encoding="unsigned")[0]
        for on in (False, True)
    ]
    assert found[0] == found[1]
    assert len({row["metrics"][0] for row in found[0].values()}) > 1
