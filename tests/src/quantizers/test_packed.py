"""Codes anywhere in an integer tensor: read, written, upset in a forward, and put back."""

import re
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from affine import PAGE, registered
from seu_plugin import FaultInjector
from seu_plugin.errors import SiteError
from seu_plugin.quantizers import PackedBits, StoredCodes, known_adapters, nibbles, packed
from seu_plugin.quantizers.sites import all_sites

SIZES = {torch.int8: 8, torch.uint8: 8, torch.int16: 16, torch.int32: 32, torch.int64: 64}


def bits_of(tensor):
    """All bits of a tensor, one a row entry: [elements, bits of an element]; from its bytes."""
    raw = tensor.detach().contiguous().numpy().tobytes()
    flat = [byte >> bit & 1 for byte in raw for bit in range(8)]
    return torch.tensor(flat).view(tensor.numel(), -1)


def filled(dtype, elements, seed):
    """Random in every bit, the sign bit, too."""
    some = torch.Generator().manual_seed(seed)
    count = elements * SIZES[dtype] // 8
    raw = torch.randint(0, 256, (count,), dtype=torch.uint8, generator=some)
    return torch.frombuffer(bytearray(raw.numpy().tobytes()), dtype=dtype).clone()


@st.composite
def stores(draw):
    dtype = draw(st.sampled_from(sorted(SIZES, key=str)))
    elements, width = draw(st.integers(2, 5)), draw(st.integers(1, 16))
    seed = draw(st.integers(0, 1 << 20))
    tensor = filled(dtype, elements, seed)
    places = torch.randperm(elements * SIZES[dtype], generator=torch.Generator().manual_seed(seed))
    words = draw(st.integers(1, max(1, len(places) // width)))
    if words * width > len(places):
        width = len(places)
    bits = places[: words * width].view(words, width)
    return PackedBits(tensor, width, draw(st.booleans()), bits)


def by_hand(store):
    """The codes, from the bytes of the tensor."""
    flat = bits_of(store.tensor).flatten()
    codes = []
    for row in store.bits.tolist():
        code = sum(int(flat[place]) << bit for bit, place in enumerate(row))
        sign = store.signed and code >> (store.width - 1)
        codes.append(code - (1 << store.width) if sign else code)
    return codes


@given(stores())
@settings(deadline=None)
def test_codes_are_the_bits_that_are_named(store):
    read = store.read()
    assert read.dtype is torch.int32 and read.tolist() == by_hand(store)


@given(stores())
@settings(deadline=None)
def test_what_was_read_written_back_changes_no_bit(store):
    before = store.tensor.clone()
    store.write(store.read())
    store.write_at(torch.arange(store.words), store.read())
    assert torch.equal(store.tensor, before)


@given(stores(), st.integers(0, 1 << 20))
@settings(deadline=None)
def test_what_is_written_is_read_and_other_bits_stay(store, seed):
    before = bits_of(store.tensor).flatten()
    some = torch.Generator().manual_seed(seed)
    low = -(1 << (store.width - 1)) if store.signed else 0
    codes = torch.randint(low, low + (1 << store.width), (store.words,), generator=some).int()
    store.write(codes)
    assert torch.equal(store.read(), codes)
    others = torch.ones_like(before, dtype=torch.bool)
    others[store.bits.flatten()] = False
    assert torch.equal(bits_of(store.tensor).flatten()[others], before[others])


@given(stores(), st.data())
@settings(deadline=None)
def test_single_words_are_as_those_of_the_whole(store, data):
    chosen = data.draw(st.lists(st.integers(0, store.words - 1), unique=True))
    index = torch.tensor(chosen, dtype=torch.int64)
    expected = store.read()
    assert torch.equal(store.read_at(index), expected[index])
    new = -1 - expected[index] if store.signed else (1 << store.width) - 1 - expected[index]
    store.write_at(index, new)
    expected[index] = new
    assert torch.equal(store.read(), expected)


@pytest.mark.parametrize("dtype", SIZES, ids=str)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("width", [1, 3, 4, 8])
def test_regular_codes_are_unpacked_along_their_axis(dtype, signed, axis, width):
    tensor = filled(dtype, 12, 1).view(3, 4)
    slots = SIZES[dtype] // width
    order = torch.randperm(slots, generator=torch.Generator().manual_seed(2)).tolist()
    parts = bits_of(tensor).view(3, 4, -1)
    codes = []
    for slot in order:
        code = sum(parts[:, :, slot * width + bit] << bit for bit in range(width))
        codes.append(code - (code >> (width - 1) << width if signed else 0))
    axis_of = axis % 2
    expected = torch.stack(codes, axis_of + 1).flatten(axis_of, axis_of + 1)
    store = packed(tensor, width, signed, axis, order)
    assert store.read().tolist() == expected.flatten().tolist()


@pytest.mark.parametrize(("low_first", "codes"), [(True, [1, 2, 3, 15]), (False, [2, 1, 15, 3])])
def test_nibbles_of_a_byte(low_first, codes):
    tensor = torch.tensor([0x21, 0xF3], dtype=torch.uint8)
    assert nibbles(tensor, low_first).read().tolist() == codes


whole = partial(torch.zeros, 2, 2, dtype=torch.int32)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: packed(torch.zeros(2), 4), r"tensor: its dtype must be one of int8.*float32"),
        (lambda: packed(torch.zeros(2) > 0, 4), r"tensor: its dtype must be one of .*torch.bool"),
        (lambda: packed(whole(), 17), "width 17: quantized memory has widths 1 to 16"),
        (lambda: packed(whole().t(), 4), r"tensor: must be contiguous; received strides \(1, 2\)"),
        (lambda: packed(whole(), 4, axis=2), r"axis: .* an integer in -2 \.\.\. 1; received 2"),
        (lambda: packed(whole(), 4, axis="x"), r"axis: .* in -2 \.\.\. 1; received 'x'"),
        (lambda: packed(whole(), 4, axis=True), r"axis: .* in -2 \.\.\. 1; received True"),
        (lambda: packed(whole(), 16, order=[0, 0]), r"order: must have each of 0 \.\.\. 1 once"),
        (lambda: PackedBits(whole(), 2, bits=[[0, 128]]), r"must be in \[0, 127\]; received 128"),
        (lambda: PackedBits(whole(), 2, bits=[[-1, 1]]), r"must be in \[0, 127\]; received -1"),
        (lambda: PackedBits(whole(), 2, bits=[[0, 1], [7, 1]]), "place 1 is in more than one code"),
        (lambda: PackedBits(whole(), 2, bits=[[0.0, 1.0]]), r"shape \[words, 2\]; .*float32"),
        (lambda: PackedBits(whole(), 2), r"bits: must be integers of shape \[words, 2\]"),
    ],
)
def test_what_is_no_description_is_refused(make, told):
    with pytest.raises(SiteError, match=told) as raised:
        make()
    assert "\n" not in str(raised.value)


class PackedLinear(nn.Module):
    """As GPTQ has it: eight codes of 4 bits in an int32, along the inputs (axis 0)."""

    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.register_buffer(
            "qweight", filled(torch.int32, fan_in // 8 * fan_out, 3).view(-1, fan_out)
        )
        self.register_buffer("scales", torch.linspace(0.1, 0.2, fan_out))

    def forward(self, x):
        self.seen = self.qweight.clone()
        if x.isnan().any():
            raise ValueError("in the middle of a forward")
        shifts = torch.arange(0, 32, 4).view(1, 8, 1)
        codes = (self.qweight.unsqueeze(1) >> shifts & 15).flatten(0, 1)
        return x @ ((codes - 8).float() * self.scales)


def scattered(tensor):
    """Codes of 5 bits anywhere, and bits that are of none."""
    places = torch.randperm(tensor.numel() * 32, generator=torch.Generator().manual_seed(4))
    return PackedBits(tensor, 5, bits=places[: tensor.numel() * 5].view(-1, 5))


DESCRIBED = {"regular": partial(packed, width=4, axis=0), "scattered": scattered}
described = pytest.mark.parametrize("describe", DESCRIBED.values(), ids=DESCRIBED)


injector = partial(FaultInjector, ber=0.05, seed=1, encoding="unsigned")


def made():
    return nn.Sequential(PackedLinear(32, 16), nn.ReLU(), PackedLinear(16, 8)).eval()


@described
@pytest.mark.parametrize("mode", ["ber", "stuck_at"])
def test_bits_that_differ_in_the_forward_are_those_reported(describe, mode):
    model = made()
    clean = {name: bits_of(model[int(name)].qweight).flatten() for name in "02"}
    with registered(StoredCodes("*.qweight", describe), "mine"):
        with injector(model, mode=mode) as one:
            model(torch.ones(1, 32))
            found = {
                (name, place)
                for name, before in clean.items()
                for place in (before ^ bits_of(model[int(name)].seen).flatten())
                .nonzero()[:, 0]
                .tolist()
            }
            told = {
                (name, int(describe(model[int(name)].qweight).places(torch.tensor(word), bit)))
                for name, word, bit in map(tuple, one.faults())
            }
    assert found == told and len(found) > 5
    assert all(torch.equal(bits_of(model[int(n)].qweight).flatten(), clean[n]) for n in "02")


@described
def test_all_is_put_back_after_a_forward_that_failed(describe):
    model = made()
    before = model[0].qweight.clone()
    with registered(StoredCodes("*.qweight", describe), "mine"):
        with pytest.raises(ValueError, match="in the middle"):
            with injector(model):
                model(torch.full((1, 32), float("nan")))
    assert not torch.equal(model[0].seen, before) and torch.equal(model[0].qweight, before)


def test_a_forward_touches_the_words_that_are_hit_alone(monkeypatch):
    model, read = made(), []
    with registered(StoredCodes("*.qweight", DESCRIBED["regular"]), "mine"):
        with injector(model, ber=0.002) as one:
            kind = type(one.sites[0].store)
            whole = kind.read_at
            monkeypatch.setattr(kind, "read_at", lambda s, i: read.append(len(i)) or whole(s, i))
            model(torch.ones(1, 32))
            hit = len({fault[:2] for fault in map(tuple, one.faults())})
    assert 0 < max(read) <= hit


def test_a_description_that_does_not_fit_names_the_place():
    with registered(StoredCodes("*.scales", DESCRIBED["regular"]), "mine"):
        with pytest.raises(SiteError, match=r"site '0': its 'scales' cannot be described so: ten"):
            injector(made()).enable()


def test_what_is_no_description_names_the_place():
    with registered(StoredCodes("*.qweight", lambda tensor: tensor), "mine"):
        with pytest.raises(SiteError, match=r"site '0': .* describe must give .* a Tensor"):
            injector(made()).enable()


def test_a_description_that_fails_is_told_in_one_line():
    def describe(tensor):
        raise ZeroDivisionError("in the\nmiddle")

    told = r"site '0': its 'qweight': describe failed: ZeroDivisionError: in the middle$"
    with registered(StoredCodes("*.qweight", describe), "mine"):
        with pytest.raises(SiteError, match=told):
            injector(made()).enable()


@described
@pytest.mark.parametrize("mode", ["ber", "stuck_at"])
def test_a_tensor_made_in_inference_mode_is_upset_and_put_back(describe, mode):
    with torch.inference_mode():
        model = made()
    clean = [model[n].qweight.clone() for n in (0, 2)]
    with registered(StoredCodes("*.qweight", describe), "mine"), torch.no_grad():
        with injector(model, mode=mode):
            model(torch.ones(1, 32))
    assert not torch.equal(model[0].seen, clean[0])
    assert all(torch.equal(model[n].qweight, before) for n, before in zip((0, 2), clean))


def test_a_moved_tensor_is_described_anew():
    model = made()
    with registered(StoredCodes("*.qweight", scattered), "mine"):
        with injector(model) as one:
            model(torch.ones(1, 32))
            old = one.sites[0].store
            model[0].qweight = model[0].qweight.clone()
            assert one.sites[0].store is not old
            assert one.sites[0].store.tensor is model[0].qweight


def test_the_example_of_the_page_makes_sites():
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[2]
    model = nn.ModuleDict({"layers": made()})
    try:
        exec(compile(code, str(PAGE), "exec"), {"model": model})
        found = [(s.name, s.width, s.words, s.signed) for s in all_sites(model)]
    finally:
        known_adapters().unregister(name="my-store")
    assert found == [("layers.0", 4, 512, False), ("layers.2", 4, 128, False)]
