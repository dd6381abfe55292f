"""Layers that compute with integers they keep: upsets in place, and every bit put back."""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from affine import PAGE, registered, rows_of_campaign
from seu_plugin import FaultInjector
from seu_plugin.errors import SiteError
from seu_plugin.injection import reuse
from seu_plugin.quantizers import IntegerTensor, StoreSite, hookimpl, layers

WIDTH = 4


class Whole(nn.Module):
    """A linear layer whose codes are an int8 tensor, [out, in]."""

    def __init__(self, fan_in, fan_out):
        super().__init__()
        codes = torch.randint(-8, 8, (fan_out, fan_in), dtype=torch.int8)
        self.register_buffer("weight", self.stored(codes))
        self.scale = nn.Parameter(torch.rand(1, fan_in) * 0.2)

    def stored(self, codes):
        return codes

    def codes(self):
        return self.weight

    def forward(self, x):
        self.seen = self.codes().clone()
        if x.isnan().any():
            raise ValueError("in the middle of a forward")
        return x @ (self.seen.float() * self.scale).T


class Packed(Whole):
    """Two codes in a byte."""

    def stored(self, codes):
        return packed(codes)

    def codes(self):
        return unpacked(self.weight)


def packed(codes):
    codes = codes.int() & 15
    return (codes[:, ::2] | codes[:, 1::2] << 4).to(torch.uint8)


def unpacked(stored):
    both = torch.stack((stored & 15, stored >> 4), -1).flatten(1).to(torch.int32)
    return (both ^ 8) - 8


class WholeSite(StoreSite):
    width = WIDTH


@dataclass
class PackedStore:
    layer: Any

    def read(self):
        return self.layer.codes().flatten()

    def write(self, codes):
        self.layer.weight.copy_(packed(codes.view(self.layer.weight.shape[0], -1)))


class PackedSite(WholeSite):
    @property
    def store(self):
        return PackedStore(self.layer)

    @property
    def words(self):
        return 2 * self.weight.numel()


class Adapter:
    @hookimpl
    def seu_sites(self, model):
        found = layers(model, lambda module: isinstance(module, Whole))
        kinds = {Whole: WholeSite, Packed: PackedSite}
        return [kinds[type(layer)](name, layer) for name, layer in found]


@pytest.fixture(autouse=True)
def known():
    with registered(Adapter(), "stores"):
        yield


def made(kind):
    torch.manual_seed(0)
    return nn.Sequential(kind(16, 12), nn.ReLU(), kind(12, 10)).eval()


injector = partial(FaultInjector, ber=0.05, seed=1)


def seen(model):
    return {name: model[int(name)].seen.int() for name in "02"}


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(model, state):
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


both = pytest.mark.parametrize("kind", [Whole, Packed])


@both
@pytest.mark.parametrize("mode", ["ber", "stuck_at", "asymmetric"])
def test_flipped_bits_are_those_reported(kind, mode):
    model = made(kind)
    model(torch.ones(1, 16))
    before = seen(model)
    with injector(model, mode=mode) as one:
        model(torch.ones(1, 16))
        found = {
            (name, word, bit)
            for name, after in seen(model).items()
            for word, flips in enumerate((before[name] ^ after).flatten().tolist())
            for bit in range(WIDTH)
            if flips >> bit & 1
        }
        assert found == {tuple(fault) for fault in one.faults()}
    assert sum(site.upsets for site in one.statistics().values()) == len(found) > 0


@both
def test_the_store_is_clean_between_forwards_and_after(kind):
    model = made(kind)
    clean, state = model(torch.ones(1, 16)), state_of(model)
    with injector(model):
        assert not torch.equal(model(torch.ones(1, 16)), clean)
        assert same(model, state)
    assert torch.equal(model(torch.ones(1, 16)), clean) and same(model, state)


@both
def test_the_store_is_clean_after_a_forward_that_failed(kind):
    model = made(kind)
    state = state_of(model)
    with pytest.raises(ValueError, match="in the middle"), injector(model):
        model(torch.full((1, 16), float("nan")))
    assert not torch.equal(model[0].seen.int(), model[0].codes().int())
    assert same(model, state)


@both
def test_gradients_reach_what_is_trained(kind):
    model = made(kind)
    with injector(model):
        model(torch.ones(1, 16)).sum().backward()
    assert model[0].scale.grad.isfinite().all() and model[0].scale.grad.any()


@both
def test_maps_of_each_forward_differ(kind):
    model, found = made(kind), []
    with injector(model, persistence="per_forward"):
        for _ in range(2):
            model(torch.ones(1, 16))
            found.append(seen(model)["0"])
    assert not torch.equal(*found)


def test_both_kinds_have_the_same_upsets():
    found = []
    for kind in (Whole, Packed):
        model = made(kind)
        with injector(model):
            model(torch.ones(1, 16))
        found.append(seen(model))
    assert all(torch.equal(found[0][name], found[1][name]) for name in "02")


@pytest.mark.parametrize("mode", ["ber", "stuck_at"])
@pytest.mark.parametrize("contiguous", [True, False])
def test_a_store_made_in_inference_mode_is_upset_and_put_back(mode, contiguous):
    with torch.inference_mode():
        model = made(Whole)
        if not contiguous:
            model[0].weight = model[0].weight.t().contiguous().t()
    state = state_of(model)
    with injector(model, mode=mode), torch.no_grad():
        model(torch.ones(1, 16))
    assert not torch.equal(model[0].seen, state["0.weight"])
    assert same(model, state)


def test_a_store_made_in_inference_mode_that_does_not_write_back_is_refused(monkeypatch):
    with torch.inference_mode():
        model = made(Whole)
    state, write = state_of(model), IntegerTensor.write
    monkeypatch.setattr(IntegerTensor, "write", lambda store, codes: write(store, codes.flip(0)))
    with pytest.raises(SiteError, match="does not write back"), torch.no_grad():
        injector(model).enable()
    assert same(model, state)


def test_codes_outside_of_the_width_are_refused():
    model = made(Whole)
    model[0].weight[0, 0] = 8
    with pytest.raises(SiteError, match=r"site '0': 1 of 192 words .* not on the grid"):
        injector(model).enable()


def test_a_store_that_does_not_write_back_is_refused(monkeypatch):
    model = made(Packed)
    state = state_of(model)
    write = PackedStore.write
    monkeypatch.setattr(PackedStore, "write", lambda store, codes: write(store, codes.flip(0)))
    with pytest.raises(SiteError, match="site '0': its store does not write back what it has read"):
        injector(model).enable()
    assert same(model, state)


@pytest.mark.parametrize("wrong", [lambda codes: codes[1:], lambda codes: codes.long()])
def test_a_store_that_gives_no_codes_of_its_words_is_refused(monkeypatch, wrong):
    read = IntegerTensor.read
    monkeypatch.setattr(IntegerTensor, "read", lambda store: wrong(read(store)))
    with pytest.raises(SiteError, match=r"its store must give 192 codes of torch.int32; received"):
        injector(made(Whole)).enable()


@both
def test_a_campaign_has_the_same_rows_with_and_without_reuse(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(reuse, "WORTH", 0.0)
    images = torch.randn(32, 16, generator=torch.Generator().manual_seed(1))
    found = [
        rows_of_campaign(made(kind), images, tmp_path / str(on), reuse=on)[0]
        for on in (False, True)
    ]
    assert found[0] == found[1]
    assert len({row["metrics"][0] for row in found[0].values()}) > 1


def test_the_example_of_the_page_finds_the_layers():
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[1]
    known = {"StoreSite": StoreSite, "hookimpl": hookimpl, "layers": layers}
    page = {**known, "MyIntegerLinear": Whole}
    exec(compile(code, str(PAGE), "exec"), page)
    found = page["MyAdapter"]().seu_sites(made(Whole))
    assert [(site.name, site.width, site.words) for site in found] == [("0", 4, 192), ("2", 4, 120)]
