"""Finding and choosing sites."""

import pytest
import torch
from torch import nn

import toy
from seu_plugin.errors import SiteError
from seu_plugin.fields import LayerSelection
from seu_plugin.quantizers.names import clean_name, unwrap
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


@pytest.mark.parametrize(
    "dotted,clean",
    [("module.conv1", "conv1"), ("module._orig_mod.a.b", "a.b"), ("a.module.b", "a.module.b")],
)
def test_clean_name(dotted, clean):
    assert clean_name(dotted) == clean


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


def test_width_comes_from_fixed_bits_or_bits():
    assert [s.width for s in all_sites(toy.net())] == [8, 4, 3, 8]


def test_width_unknown_yet_is_an_error():
    model = toy.net()
    model.conv2.bits = None
    with pytest.raises(SiteError, match="'conv2' has no bit width yet"):
        _ = all_sites(model)[1].width


def test_candidate_list_has_no_width_yet():
    model = toy.net()
    model.conv2.bits = ([4, 3], [4, 3])
    assert all_sites(model)[1].width is None


def test_floating_point_width_is_an_error():
    model = toy.net()
    model.conv2.bits = (32, 32)
    with pytest.raises(SiteError, match="width 32"):
        _ = all_sites(model)[1].width


def test_step_size_of_unknown_width_is_an_error():
    with pytest.raises(SiteError, match="offers no width 7"):
        all_sites(toy.net())[1].step_size(7)


def test_unreadable_step_size_is_an_error():
    model = toy.net()
    model.conv2.quan_w_fn = nn.Identity()
    with pytest.raises(SiteError, match="cannot read the step size"):
        all_sites(model)[1].step_size(4)


def test_step_size_of_odd_shape_is_an_error():
    model = toy.net()
    model.conv2.quan_w_fn.get_scale = lambda bits: torch.ones(3)
    with pytest.raises(SiteError, match="neither per tensor nor per channel"):
        all_sites(model)[1].step_size(4)
