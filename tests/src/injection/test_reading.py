"""Reading faulted words: exactly, in every dtype, or not at all."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import InjectionError
from seu_plugin.faults.fault_map import FaultMap
from seu_plugin.injection.placement import PlacedMap
from seu_plugin.injection.reading import Reader
from seu_plugin.memory.codecs import CODECS, codec
from seu_plugin.quantizers.grid import Grid
from seu_plugin.quantizers.sites import all_sites

CPU = torch.device("cpu")
SITE = all_sites(toy.net())[0]


def place(masks, name, width):
    """Every word hit, by these masks."""
    index = torch.arange(len(masks)).numpy()
    fault_map = FaultMap(index, masks.to(torch.int32).numpy(), len(masks))
    return PlacedMap(fault_map, codec(name), width, CPU)


def grid(name, width):
    chosen = codec(name)
    return torch.arange(chosen.lowest(width), chosen.highest(width) + 1)


def on(scale, width):
    return Grid(width, True, scale)


@pytest.mark.parametrize("name", sorted(CODECS))
@pytest.mark.parametrize("width", [2, 4, 8])
def test_every_code_under_every_mask(name, width):
    codes = grid(name, width)
    for mask in range(1, 1 << width):
        masks = torch.full_like(codes, mask)
        placed = place(masks, name, width)
        got = Reader(SITE).faulted(codes * 0.25, placed, on(torch.tensor(0.25), width))
        stored = codec(name).encode(codes, width) ^ mask
        assert torch.equal(got, codec(name).decode(stored, width) * 0.25)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    st.integers(2, 16),
    st.floats(1e-3, 1.0),
    st.integers(0, 2**31),
)
def test_read_exactly_or_refused(dtype, width, step, seed):
    scale = torch.tensor(step, dtype=dtype)
    codes = grid("twos_complement", width)
    weights = (codes.to(torch.float64) * scale.double()).to(dtype)  # rounded once
    masks = torch.randint(1, 1 << width, codes.shape, generator=torch.Generator().manual_seed(seed))
    two = codec("twos_complement")
    expected = two.decode(two.encode(codes, width) ^ masks, width).double() * scale.double()
    try:
        got = Reader(SITE).faulted(weights, place(masks, two.name, width), on(scale, width))
    except InjectionError as error:
        enough = {torch.bfloat16: 7, torch.float16: 10}  # bits of the significand, less one
        assert width > enough[dtype] and "exactly" in str(error)
    else:
        assert got.dtype is dtype
        assert torch.equal(got, expected.to(dtype))


@pytest.mark.parametrize(("dtype", "width"), [(torch.bfloat16, 10), (torch.float16, 13)])
def test_codes_that_half_precision_cannot_tell_apart_are_refused(dtype, width):
    scale = torch.tensor(0.0173)
    codes = grid("twos_complement", width)
    placed = place(torch.ones_like(codes), "twos_complement", width)
    with pytest.raises(InjectionError, match="exactly,"):
        Reader(SITE).faulted((codes * scale).to(dtype), placed, on(scale, width))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_off_the_grid_are_refused(dtype):
    weights = torch.tensor([0.25, 0.5, 0.76], dtype=dtype)
    masks = torch.ones(3, dtype=torch.int32)
    placed = place(masks, "twos_complement", 4)
    with pytest.raises(InjectionError, match=r"not twos_complement codes of 4 bits .* exactly,"):
        Reader(SITE).faulted(weights, placed, on(torch.tensor(0.25, dtype=dtype), 4))


@pytest.mark.parametrize("cache", [False, True])
def test_a_bfloat16_model_is_upset_like_its_codes(cache):
    model = toy.net().bfloat16()
    seen = []
    layer = model.conv2
    layer.quan_w_fn.register_forward_hook(lambda m, a, out: seen.append(out.clone()))
    with torch.no_grad():
        model(toy.batch().bfloat16())
        settings = {"layers": "conv2", "weight_cache": cache}
        with FaultInjector(model, ber=0.05, seed=3, **settings) as injector:
            model(toy.batch().bfloat16())
    scale = layer.quan_w_fn.get_scale(4).float()
    clean, faulted = (torch.round(s.float() / scale).int() & 15 for s in seen)
    flipped = sum(bin(v).count("1") for v in (clean ^ faulted).flatten().tolist())
    assert flipped == injector.statistics()["conv2"].upsets > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_under_autocast_the_same_words_are_upset(dtype):
    if dtype is torch.float16 and torch.__version__.startswith("1."):
        pytest.skip("torch 1 has no float16 convolution on the CPU")
    model = toy.net().train()
    seen = []
    model.conv2.quan_w_fn.register_forward_hook(lambda m, a, out: seen.append(out.detach().clone()))
    for enabled in (False, True):
        with FaultInjector(model, ber=0.05, seed=3), torch.autocast("cpu", dtype, enabled):
            model(toy.batch()).float().sum().backward()
    assert torch.equal(seen[0], seen[1])
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
