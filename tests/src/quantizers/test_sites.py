"""Finding and choosing sites."""

import pytest
import torch
from torch import nn

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import SiteError
from seu_plugin.fields import LayerSelection
from seu_plugin.quantizers.adapters.rfquant import RFQuantSite
from seu_plugin.quantizers.names import named_modules, unwrap
from seu_plugin.quantizers.sites import all_sites, select_sites


def names(model, **selection):
    return [s.name for s in select_sites(model, LayerSelection(**selection))]


def wrapped(model):
    return nn.DataParallel(model)


def test_every_quantized_layer_is_a_site():
    assert names(toy.net()) == ["conv1", "conv2", "conv3", "fc"]


def test_wrappers_do_not_change_names():
    assert names(wrapped(wrapped(toy.net()))) == names(toy.net())


def test_unwrap_finds_the_model():
    model = toy.net()
    assert unwrap(wrapped(wrapped(model))) is model


class Own(nn.Module):
    """A network that calls a part of its own as DataParallel does its model."""

    def __init__(self):
        super().__init__()
        self.module = nn.Sequential(nn.Linear(4, 4))
        self.fc = nn.Linear(4, 2)
        self.module.add_module("fc", nn.Linear(4, 4))


@pytest.mark.parametrize("wrap", [lambda model: model, wrapped])
def test_a_part_of_the_model_may_be_called_module(wrap):
    found = [site.name for site in all_sites(wrap(Own()), "float")]
    assert found == ["module.0", "module.fc", "fc"]


def test_wrappers_further_in_are_in_no_name():
    inside = nn.Module()
    inside._orig_mod = nn.Linear(3, 3)
    assert [name for name, _ in named_modules(nn.ModuleDict({"a": inside}))] == ["", "a", "a"]


def test_globs_select():
    assert names(toy.net(), include=("conv*",), exclude=("conv1",)) == ["conv2", "conv3"]


@pytest.mark.parametrize("key", ["include", "exclude"])
def test_pattern_that_matches_nothing_is_an_error(key):
    with pytest.raises(SiteError, match=f"layers.{key}: pattern 'cnv2' matches no site.*'conv2'"):
        names(toy.net(), **{key: ("cnv2",)})


def test_excluding_everything_is_an_error():
    with pytest.raises(SiteError, match="nothing is left"):
        names(toy.net(), exclude=("*",))


def test_model_without_quantized_layers_is_an_error():
    with pytest.raises(SiteError, match="no quantized layer"):
        names(nn.Sequential(nn.Conv2d(1, 1, 1)))


def test_shared_quantizer_is_an_error():
    model = toy.net()
    model.conv3.quan_w_fn = model.conv2.quan_w_fn
    with pytest.raises(SiteError, match="share one weight quantizer"):
        names(model)


def test_shared_weight_is_an_error():
    model = toy.net()
    model.extra = toy.QuanConv2d(16, 16)
    model.extra.weight = model.conv3.weight
    with pytest.raises(SiteError, match=r"'conv3' and 'extra' share one weight$"):
        names(model)


def test_two_weights_in_one_memory_are_refused():
    model = toy.net()
    words = torch.randn(16 * 16 * 9 + 8)
    model.conv2.weight = nn.Parameter(words[: 16 * 8 * 9].view(16, 8, 3, 3))
    model.conv3.weight = nn.Parameter(words[8:].view(16, 16, 3, 3))
    with pytest.raises(SiteError, match="sites 'conv2' and 'conv3' have weights in one memory"):
        select_sites(model, LayerSelection())
    select_sites(model, LayerSelection(exclude=("conv3",)))
    model.conv3.weight = nn.Parameter(torch.randn(16, 16, 3, 3))
    select_sites(model, LayerSelection())


@pytest.mark.parametrize("name", ["copy 1 of 0", "a#1", "a b"])
def test_names_that_streams_are_made_with_are_refused(name):
    model = nn.Sequential()
    model.add_module(name, toy.QuanConv2d(1, 1, fixed_bits=(4, 4)))
    with pytest.raises(SiteError, match="must have no blanks and no '#'"):
        all_sites(model)


def test_a_site_too_large_for_a_map_is_refused_before_a_forward(monkeypatch):
    model = toy.net()
    monkeypatch.setattr(RFQuantSite, "words", property(lambda site: 1 << 30))
    with pytest.raises(SiteError, match=r"must be smaller than 2\*\*32 bits"):
        FaultInjector(model, ber=1e-9, layers="conv2").enable()


def test_a_layer_alone_is_no_model():
    layer = toy.QuanLinear(16, 10)
    for model in (layer, nn.DataParallel(layer)):
        with pytest.raises(SiteError, match="is itself a quantized layer"):
            FaultInjector(model, ber=0.1)
    model = nn.Module()
    model.module, model.other = layer, nn.Identity()
    assert [site.name for site in all_sites(model)] == ["module"]


def test_a_weight_whose_words_are_one_memory_is_refused():
    model = toy.net()
    model.conv2.weight = nn.Parameter(torch.randn(1, 8, 3, 3).expand(16, 8, 3, 3))
    with pytest.raises(SiteError, match="its words share memory"):
        FaultInjector(model, ber=0.1)
