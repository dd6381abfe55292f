"""RFQuant's layers: widths, step sizes, and which channel each belongs to."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import SiteError
from seu_plugin.quantizers.grid import checked_width
from seu_plugin.quantizers.sites import all_sites


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


@pytest.mark.parametrize(
    "bits", [4, [], ("4", 4), (4.5, 4), (math.nan, 4), (True, 4), (0, 4), (17, 4)]
)
def test_widths_that_are_none_are_named(bits):
    model = toy.net()
    model.conv2.bits = bits
    with pytest.raises(SiteError, match="conv2") as error:
        _ = all_sites(model)[1].width
    assert "\n" not in str(error.value)


def test_a_width_may_be_a_number_of_torch_or_numpy():
    for width in (torch.tensor(4), torch.tensor(4, dtype=torch.int32), np.int64(4)):
        assert checked_width("conv2", width) == 4


class Transposed(nn.ConvTranspose2d):
    """16 -> 16 channels, one step size for each output channel, which is the second dimension."""

    def __init__(self, along):
        super().__init__(16, 16, 3, bias=False)
        self.bits = (4, 4)
        self.quan_w_fn = toy.Quantizer(self.weight, widths=(4,))
        steps = torch.linspace(0.01, 1.0, 16)
        shape = {"list": (16,), "second": (1, 16, 1, 1), "first": (16, 1, 1, 1)}[along]
        shaped = (1, 16, 1, 1) if along == "list" else shape
        self.quan_w_fn.get_scale = lambda bits, detach=True: steps.reshape(shape)
        self.quan_w_fn.forward = lambda w, bits, **kw: (
            (w / steps.reshape(shaped)).round().clamp(-8, 7) * steps.reshape(shaped)
        )

    def forward(self, x):
        self.used = self.quan_w_fn(self.weight, self.bits[0])
        return nn.functional.conv_transpose2d(x, self.used)


@pytest.mark.parametrize("along", ["list", "second", "first"])
def test_hit_words_are_codes_of_their_own_channel(along):
    layer = Transposed(along)
    with torch.no_grad():
        layer.weight.normal_()
    model = nn.Sequential(layer)
    with FaultInjector(model, ber=0.05, seed=1), torch.no_grad():
        model(torch.ones(1, 16, 4, 4))
    step = all_sites(model)[0].step_size(4)
    clean, codes = layer.quan_w_fn(layer.weight, 4), layer.used / step
    assert (layer.used != clean).any()
    assert torch.equal(codes.round().clamp(-8, 7), codes.round())
    assert (codes - codes.round()).abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(3,), (16, 3, 1, 1), (1, 1, 16), (16, 16, 1, 2)])
def test_step_sizes_along_no_axis_are_refused(shape):
    model = toy.net()
    model.conv3.quan_w_fn.get_scale = lambda bits: torch.ones(shape)
    with pytest.raises(SiteError, match="neither per tensor nor per channel"):
        all_sites(model)[2].step_size(3)
