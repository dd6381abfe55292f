"""Codes and values: there and back, along every axis, as torch computes them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seu_plugin.errors import SiteError
from seu_plugin.quantizers.grid import Grid, check_axis, check_holds, check_numbers, per_channel

SHAPE = (3, 4, 2, 5)
WIDTHS = range(2, 9)


def made(width, signed, axis, zero_point, dtype, seed, narrow=False):
    """A grid, and codes of a weight of SHAPE on it."""
    random = torch.Generator().manual_seed(seed)
    lowest, highest = (
        Grid(width, signed, torch.ones(()), None, narrow).lowest,
        2 ** (width - signed),
    )
    channels = 1 if axis is None else SHAPE[axis]

    def shaped(values):
        return per_channel(values, axis or 0, len(SHAPE))

    scale = shaped(torch.rand(channels, generator=random) + 0.01).to(dtype)
    zero = torch.randint(lowest, highest, (channels,), generator=random)
    codes = torch.randint(lowest, highest, SHAPE, generator=random, dtype=torch.int32)
    return Grid(width, signed, scale, shaped(zero) if zero_point else None, narrow), codes


@given(
    st.sampled_from(WIDTHS),
    st.booleans(),
    st.sampled_from([None, 0, 1, 2, 3]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([torch.float16, torch.float32, torch.float64]),
    st.integers(0, 2**31),
)
def test_codes_come_back(width, signed, axis, zero_point, narrow, dtype, seed):
    grid, codes = made(width, signed, axis, zero_point, dtype, seed, narrow)
    values = grid.values(codes, torch.empty(0, dtype=dtype))
    assert values.dtype is dtype and values.shape == codes.shape
    assert torch.equal(grid.codes(values), codes)
    assert bool(grid.holds(values).all())


@given(st.sampled_from(WIDTHS), st.booleans(), st.integers(0, 2**31))
def test_values_are_those_of_torch_per_tensor(width, signed, seed):
    grid, _ = made(width, signed, None, True, torch.float32, seed)
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
    clean = torch.fake_quantize_per_tensor_affine(
        weight, float(grid.scale), int(grid.zero_point), grid.lowest, grid.highest
    )
    assert torch.equal(grid.values(grid.codes(clean), clean), clean)


@given(st.sampled_from(WIDTHS), st.booleans(), st.sampled_from(range(4)), st.integers(0, 2**31))
def test_values_are_those_of_torch_per_channel(width, signed, axis, seed):
    grid, _ = made(width, signed, axis, True, torch.float32, seed)
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
    clean = torch.fake_quantize_per_channel_affine(
        weight,
        grid.scale.flatten(),
        grid.zero_point.flatten().int(),
        axis,
        grid.lowest,
        grid.highest,
    )
    assert torch.equal(grid.values(grid.codes(clean), clean), clean)


@pytest.mark.parametrize(
    ("signed", "narrow", "bounds"),
    [(True, False, (-8, 7)), (True, True, (-7, 7)), (False, False, (0, 15))],
)
def test_bounds(signed, narrow, bounds):
    grid = Grid(4, signed, torch.tensor(1.0), narrow=narrow)
    assert (grid.lowest, grid.highest) == bounds


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_values_between_codes_are_not_held(dtype):
    grid = Grid(4, True, torch.tensor(0.25))
    assert grid.holds(torch.tensor([0.25, 0.375, -2.0, 2.0], dtype=dtype)).tolist() == [
        *(True, False, True, False)
    ]


def test_a_weight_off_the_grid_is_named():
    grid = Grid(4, False, torch.tensor(0.5), torch.tensor(8))
    with pytest.raises(SiteError, match=r"'a': 2 of 3 words .* \(unsigned codes 0 \.\.\. 15, 4 b"):
        check_holds("a", grid, torch.tensor([0.5, 0.6, 9.0]))


@pytest.mark.parametrize("shape", [(3,), (3, 4, 2), (4, 3, 1, 1), (1, 1, 1, 2)])
def test_scales_without_an_axis_are_refused(shape):
    with pytest.raises(SiteError, match="neither per tensor nor per channel"):
        check_axis("a", torch.ones(shape), SHAPE)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (3, 1, 1, 1), (1, 4, 1, 1), SHAPE])
def test_scales_along_axes_are_taken(shape):
    check_axis("a", torch.ones(shape), SHAPE)


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_a_scale_that_is_no_number_is_refused(scale):
    with pytest.raises(SiteError, match="step size at 4 bits is 0 or no number"):
        check_numbers("a", Grid(4, True, torch.tensor([1.0, scale])))


def test_a_zero_point_between_codes_is_refused():
    with pytest.raises(SiteError, match="zero point at 4 bits is no whole number"):
        check_numbers("a", Grid(4, True, torch.tensor(1.0), torch.tensor(0.5)))
    check_numbers("a", Grid(4, True, torch.tensor(1.0), torch.tensor(3.0)))
