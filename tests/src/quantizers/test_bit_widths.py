"""The bit-width file: read, checked, applied."""

import json

import pytest
from torch import nn

import toy
from rfquant_hooks.contract import BitWidths
from seu_plugin.errors import BitWidthError
from seu_plugin.quantizers.bit_widths import (
    apply_bit_widths,
    load_bit_width_config_from_json,
    read_bit_widths,
    setup_model_with_bit_width_config,
)

GOOD = {
    "arch": "toy",
    "bops_limits": 1.0,
    "target_bits": [6, 5, 4, 3, 2],
    "configurations": [
        {"bops_limit": 1.0, "weight_bits": [4, 3], "act_bits": [5, 6]},
        {"bops_limit": 0.5, "weight_bits": [2, 2], "act_bits": [3, 3]},
    ],
}


@pytest.fixture
def write(tmp_path):
    def _write(data, name="widths.json"):
        path = tmp_path / name
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return _write


def one(**changes):
    return {**GOOD, "configurations": [{**GOOD["configurations"][0], **changes}]}


def test_lists_of_the_chosen_configuration(write):
    path = write(GOOD)
    assert load_bit_width_config_from_json(str(path)) == ([4, 3], [5, 6])
    assert load_bit_width_config_from_json(path, config_index=1) == ([2, 2], [3, 3])


def test_missing_file_names_it_and_its_neighbour(write):
    path = write(GOOD)
    with pytest.raises(BitWidthError, match=r"width\.json.*did you mean 'widths\.json'"):
        read_bit_widths(path.with_name("width.json"))


@pytest.mark.parametrize(
    "data,message",
    [
        ("{", "is not JSON"),
        ([1], "must be an object"),
        ({"configuration": []}, "did you mean 'configuration'"),
        (one(weight_bits=[4, 3, 2]), "weight_bits has 3 entries, act_bits 2"),
        (one(weight_bits=[4, 3.0]), r"weight_bits\[1\]: must be a positive integer; received 3.0"),
        (one(weight_bits=[4, True]), r"weight_bits\[1\]"),
        (one(act_bits=[0, 4]), r"act_bits\[0\]"),
        (one(act_bits=[]), "must be a list of integers"),
        ({"configurations": []}, "its list 'configurations' is empty"),
        ({"configurations": [{"weights_bits": [1], "act_bits": [1]}]}, "has no 'weight_bits'"),
    ],
)
def test_wrong_files_are_errors(write, data, message):
    with pytest.raises(BitWidthError, match=message):
        read_bit_widths(write(data))


@pytest.mark.parametrize("index", [2, -1, "0", True])
def test_index_out_of_range_is_an_error(write, index):
    with pytest.raises(BitWidthError, match=r"index must be in \[0, 1\]"):
        read_bit_widths(write(GOOD), index)


def test_setup_sets_integers_and_switches_batch_norm(write, capsys):
    model = toy.net()
    setup_model_with_bit_width_config(model, json_path=write(GOOD), config_index=0, verbose=True)
    assert (model.conv2.bits, model.conv3.bits) == ((4, 5), (3, 6))
    assert (model.bn2.bit_width, model.bn3.bit_width) == ((4, 5), (3, 6))
    assert model.conv1.bits is None and model.fc.bits is None
    assert "conv2: weight 4 bits, activation 5 bits" in capsys.readouterr().out


def test_setup_without_verbose_is_silent(write, capsys):
    setup_model_with_bit_width_config(toy.net(), write(GOOD), verbose=False)
    assert capsys.readouterr().out == ""


def test_setup_sees_through_wrappers(write):
    model = toy.net()
    setup_model_with_bit_width_config(nn.DataParallel(model), write(GOOD), verbose=False)
    assert model.conv2.bits == (4, 5)


@pytest.mark.parametrize(
    "weights,activations,message",
    [
        ([4], [4], "weight_bits has 1 entries, but the model has 2 quantized layers"),
        ([4, 7], [4, 4], r"weight_bits\[1\] is 7, which 'conv3' does not offer"),
        ([4, 4], [7, 4], r"act_bits\[0\] is 7, which 'conv2' does not offer"),
    ],
)
def test_widths_that_do_not_fit_change_nothing(weights, activations, message):
    model = toy.net()
    before = model.conv2.bits, model.bn2.bit_width
    with pytest.raises(BitWidthError, match=message):
        apply_bit_widths(model, BitWidths(tuple(weights), tuple(activations), "x.json"))
    assert (model.conv2.bits, model.bn2.bit_width) == before


def test_width_that_the_batch_norm_lacks_is_an_error():
    model = toy.net()
    model.bn3.bits_list = (6, 5)
    with pytest.raises(BitWidthError, match=r"weight_bits\[1\] is 4, which 'bn3' does not offer"):
        apply_bit_widths(model, BitWidths((4, 4), (4, 4)))


def test_model_without_dynamic_layers_is_an_error():
    with pytest.raises(BitWidthError, match="no quantized layer without fixed_bits"):
        apply_bit_widths(nn.Sequential(nn.Linear(1, 1)), BitWidths((4,), (4,)))


def test_what_is_no_path_is_named():
    with pytest.raises(BitWidthError, match="json_path: must be a path; received None"):
        load_bit_width_config_from_json(None)


def test_the_right_key_with_a_wrong_value_is_no_misspelling(tmp_path):
    path = tmp_path / "w.json"
    path.write_text('{"configurations": {}}')
    with pytest.raises(BitWidthError, match=r"with a list 'configurations'$"):
        load_bit_width_config_from_json(path)


@pytest.mark.parametrize("name", ["/dev/zero", "x" * 5000, "a\0b", "/proc/nothing", "/"])
def test_a_file_that_cannot_be_is_one_line(name):
    with pytest.raises(BitWidthError) as error:
        load_bit_width_config_from_json(name)
    assert len(error.value.lines) == 1 and len(str(error.value)) <= 400


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "9" * 5000, '{"configurations": [], "configurations": []}', "\ufeff"],
)
def test_what_is_no_bit_width_file_is_one_line(tmp_path, text):
    path = tmp_path / "w.json"
    path.write_text(text)
    with pytest.raises(BitWidthError) as error:
        load_bit_width_config_from_json(path)
    assert len(error.value.lines) == 1 and len(str(error.value)) <= 400
