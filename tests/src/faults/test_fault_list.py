"""Upsets by name: read, written, and what they do to a model."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import toy
from seu_plugin import Fault, FaultInjector
from seu_plugin.errors import ConfigError, InjectionError, SeuError, SiteError
from seu_plugin.faults.fault_list import fault_maps, faults, faults_of, faults_text, read_faults

LISTED = (Fault("conv2", 7, 3), Fault("conv2", 7, 0), Fault("fc", 0, 7))
one = st.builds(
    Fault, st.sampled_from(["conv1", "a.b", "fc"]), st.integers(0, 999), st.integers(0, 31)
)


def forward(model):
    with torch.no_grad():
        return model(toy.batch())


@given(st.lists(one, unique=True))
def test_lists_and_maps_are_the_same(listed):
    maps = fault_maps(listed)
    assert sorted(f for name in maps for f in faults_of(name, maps[name])) == sorted(listed)
    assert sum(m.upsets for m in maps.values()) == len(listed)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_files_are_read_as_they_were_written(tmp_path, suffix):
    path = tmp_path / f"f.{suffix}"
    path.write_text(faults_text(LISTED, path))
    assert read_faults(path) == LISTED


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.txt", "", r"must end in \.csv or \.jsonl"),
        ("f.csv", "", r"line 1: must be site,word,bit; received \[\]"),
        ("f.csv", "site,word,bit\n", "the list has no fault"),
        ("f.csv", "site,word,bit\nfc,1\n", "line 2: must be site, word and bit"),
        ("f.csv", "site,word,bit\nfc,x,1\n", r"line 2: word must be an integer .* received 'x'"),
        ("f.csv", "site,word,bit\nfc,1.5,1\n", "line 2: word must be an integer"),
        ("f.csv", "site,word,bit\nfc,1,32\n", r"line 2: bit must be .* 0 \.\.\. 31; received 32"),
        ("f.csv", f"site,word,bit\nfc,{'9' * 5000},1\n", "line 2: word must be an integer"),
        ("f.csv", "site,word,bit\nfc,1,1\nfc,1,1\n", "line 3: stands in line 2 already"),
        ("f.jsonl", "[1]", "line 1: must be site, word and bit"),
        (
            "f.jsonl",
            '{"site": "fc", "wrod": 1, "bit": 0}',
            "line 1: unknown key 'wrod'; did you mean",
        ),
        ("f.jsonl", '{"site": "fc", "bit": 0}', "line 1: word is missing"),
        ("f.jsonl", "{", "line 1: is not JSON"),
        ("f.jsonl", '{"site": "fc", "word": 1, "word": 2, "bit": 0}', "'word' stands twice"),
        ("f.jsonl", "[" * 100_000, "line 1: is not JSON"),
    ],
)
def test_mistakes_name_the_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message) as raised:
        read_faults(tmp_path / name)
    assert len(str(raised.value)) <= 400 and "\n" not in str(raised.value)


def test_a_fault_twice_is_an_error():
    with pytest.raises(ValueError, match=r"\[1\]: .* comes twice"):
        faults([("fc", 1, 1), Fault("fc", 1, 1)])


@pytest.mark.parametrize("encoding", ["twos_complement", "gray"])
def test_the_listed_bits_flip_and_no_others(encoding):
    model = toy.net()
    with FaultInjector(model, faults=LISTED, encoding=encoding) as injector:
        weight, clean = {}, {}
        for name in ("conv1", "conv2", "fc"):
            layer = getattr(model, name)
            bits = (layer.fixed_bits or layer.bits)[0]
            clean[name] = layer.quan_w_fn(layer.weight, bits).detach().flatten()
            hook = layer.quan_w_fn.register_forward_hook(
                lambda module, args, out, name=name: weight.update({name: out.detach().flatten()})
            )
            layer.hook = hook
        forward(model)
        for name in weight:
            getattr(model, name).hook.remove()
    changed = {
        name: torch.nonzero(weight[name] != clean[name]).flatten().tolist() for name in weight
    }
    assert changed == {"conv1": [], "conv2": [7], "fc": [0]}
    assert {n: s.upsets for n, s in injector.statistics().items() if s.upsets} == {
        "conv2": 2,
        "fc": 1,
    }
    assert injector.faults() == sorted(LISTED)


@pytest.mark.parametrize(
    "settings",
    [
        {"ber": 1e-2},
        {"ber": 0.3, "bits": "msb"},
        {"mode": "stuck_at", "ber": 3e-2},
        {"mode": "asymmetric", "ber": 3e-2, "encoding": "gray"},
        {"mode": "mbu", "ber": 1e-2, "mbu": {"sizes": {2: 1.0}}},
        {"mode": "exact_count", "upsets": 9},
        {"ber": 1e-2, "protection": {"scheme": "secded_39_32", "on_detected": "zero"}},
        {"mode": "stuck_at", "ber": 1e-2, "protection": {"scheme": "tmr"}},
    ],
)
def test_the_list_of_a_drawn_map_does_the_same(settings):
    model = toy.net()
    with FaultInjector(model, seed=1, **settings) as drawn:
        expected = forward(model)
        listed = drawn.faults()
    assert drawn.faults() == listed and listed
    encoding = {"encoding": settings.get("encoding", "twos_complement")}
    with FaultInjector(model, faults=listed, **encoding):
        assert torch.equal(forward(model), expected)


def test_fresh_maps_are_listed_while_they_hold():
    model = toy.net()
    with FaultInjector(model, ber=1e-2, seed=1, persistence="per_forward") as injector:
        forward(model)
        first = injector.faults()
        expected = forward(model)
        listed = injector.faults()
    assert first != listed
    with FaultInjector(model, faults=listed):
        assert torch.equal(forward(model), expected)
    with pytest.raises(SeuError, match="maps are over; ask while enabled"):
        injector.faults()


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([("conv9", 0, 0)], r"faults: \[0\]: the model has no site 'conv9'; did you mean 'conv"),
        (
            [("fc", 0, 0), ("conv2", 1152, 0)],
            r"faults: \[1\]: site 'conv2': no word 1152; it has 1152 \(0 \.\.\. 1151\)",
        ),
        ([("conv2", 0, 4)], r"no bit 4; its words have 4 \(0 \.\.\. 3\)"),
    ],
)
def test_upsets_outside_of_the_model_are_refused_before_a_forward(listed, message):
    with pytest.raises(SiteError, match=message):
        FaultInjector(toy.net(), faults=listed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"faults": []}, "the list has no fault"),
        ({"faults": LISTED, "ber": 0.1}, "faults is for mode fault_list; the mode is ber"),
        ({"faults": LISTED, "persistence": "per_forward"}, "persistence: of mode fault_list"),
        ({"faults": LISTED, "bits": "msb"}, "bits: mode fault_list upsets the bits that it"),
        ({"faults": LISTED, "targets": ["biases"]}, "mode fault_list is for weights only"),
        ({"faults": [("fc", 1)]}, r"\[0\]: must be site, word and bit; received \('fc', 1\)"),
        ({"faults": "none.csv"}, r"none\.csv: cannot read"),
    ],
)
def test_what_does_not_go_with_a_list_is_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        FaultInjector(toy.net(), **settings)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_upset_outside_of_the_model_is_named_by_file_and_line(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    path.write_text(faults_text([Fault("fc", 0, 0), Fault("conv2", 0, 4)], path))
    line = 3 if suffix == ".csv" else 2
    with pytest.raises(SiteError) as error:
        FaultInjector(toy.net(), faults=path)
    told = "site 'conv2': no bit 4; its words have 4 (0 ... 3)"
    assert str(error.value) == f"faults: {path}, line {line}: {told}"


def test_a_file_that_was_read_before_keeps_its_lines(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("site,word,bit\nfc,0,0\n\nconv2,1,3\n")
    model = toy.net()
    injector = FaultInjector(model, faults=read_faults(path))
    model.conv2.bits = (3, 4)
    with pytest.raises(SiteError, match=r"f\.csv, line 4: site 'conv2': no bit 3"):
        injector.enable()


def test_a_site_that_layers_leave_out_is_not_called_unknown():
    with pytest.raises(SiteError, match=r"\[0\]: site 'fc' is left out by layers, which select"):
        FaultInjector(toy.net(), layers="conv*", faults=[("fc", 0, 0)])


@pytest.mark.parametrize("settings", [{"ber": 1e-2}, {"mode": "exact_count", "upsets": 2}])
def test_before_a_forward_there_is_no_list(settings):
    model = toy.net()
    injector = FaultInjector(model, seed=1, **settings)
    with pytest.raises(InjectionError, match="run one first"):
        injector.faults()
    with injector:
        with pytest.raises(InjectionError, match="run one first"):
            injector.faults()
        forward(model)
        assert injector.faults()


def test_a_list_that_was_given_and_no_upsets_are_known_before_a_forward():
    assert FaultInjector(toy.net(), faults=LISTED).faults() == sorted(LISTED)
    assert FaultInjector(toy.net(), ber=0.0).faults() == []


def test_a_run_that_missed_a_listed_upset_is_an_error():
    model = toy.net()
    injector = FaultInjector(model, faults=LISTED).enable()
    with torch.no_grad():
        model.conv1(toy.batch())
    with pytest.raises(SeuError, match="was to have 2 upsets and had 0"):
        injector.disable()


def test_json_of_numpy_numbers_is_a_list_too():
    import numpy as np

    assert faults([("fc", np.int64(3), np.int32(1))]) == (Fault("fc", 3, 1),)
    json.dumps(faults([("fc", np.int64(3), np.int32(1))]))


def test_a_list_is_of_weights_alone():
    model = toy.net()
    with FaultInjector(model, ber=1e-2, seed=1, targets=["weights", "biases"]) as injector:
        forward(model)
        with pytest.raises(SeuError, match="upsets of weights; the targets are weights, bias"):
            injector.faults()


def test_a_path_and_a_byte_order_mark_are_fine(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(b"\xef\xbb\xbf" + faults_text(LISTED, path).encode())
    model = toy.net()
    with FaultInjector(model, faults=path) as injector:
        forward(model)
    assert injector.faults() == sorted(LISTED)
