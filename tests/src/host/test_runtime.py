"""The plugin at work, with phases made by hand."""

import json
import random

import numpy as np
import pytest
import torch

import toy
from rfquant_hooks.contract import BitWidths, Phase, PhaseOutcome
from seu_plugin.errors import BitWidthError, ConfigError, InjectionError, SiteError
from seu_plugin.host.check_config import find_file
from seu_plugin.host.runtime import Runtime
from seu_plugin.settings.section import parse_section


def runtime(**section):
    return Runtime(parse_section({"ber": 0.1, "seed": 1, **section}))


def phase(name, model, widths=None, parent=None, **arguments):
    return Phase(name, model, {}, arguments, widths, parent)


def forward(model):
    """A phase's run: one forward, its output as the value and a made-up accuracy."""

    def run():
        with torch.no_grad():
            out = model(toy.batch())
        return PhaseOutcome(out, (float(out.sum()),))

    return run


def test_validate_gives_the_faulted_outcome_and_tells_the_golden_one(capsys):
    model = toy.net()
    golden = forward(model)()
    outcome = runtime().rfquant_run_phase(phase("validate", model), forward(model))
    assert not torch.equal(outcome.value, golden.value)
    assert torch.equal(forward(model)().value, golden.value)
    out = capsys.readouterr().out
    assert f"golden accuracy:  {golden.metrics[0]:.2f} %" in out
    assert f"faulted accuracy: {outcome.metrics[0]:.2f} % at BER 0.1" in out
    assert "conv3" in out


def test_validate_without_a_golden_run_runs_once():
    model, runs = toy.net(), []

    def run():
        runs.append(1)
        return forward(model)()

    runtime(golden_run=False).rfquant_run_phase(phase("validate", model), run)
    assert len(runs) == 1


def test_golden_and_faulted_run_see_the_same_random_numbers():
    model, drawn = toy.net(), []

    def run():
        drawn.append((random.random(), np.random.rand(), float(torch.rand(()))))
        return forward(model)()

    runtime().rfquant_run_phase(phase("validate", model), run)
    assert drawn[0] == drawn[1]


def test_widths_are_applied_before_the_host_runs():
    model, seen = toy.net(), []

    def run():
        seen.append((model.conv2.bits, model.bn2.bit_width))
        return forward(model)()

    widths = BitWidths((2, 5), (6, 6))
    runtime().rfquant_run_phase(phase("validate", model, widths), run)
    assert seen == [((2, 6), (2, 6))] * 2


def test_a_host_that_evaluates_other_widths_is_an_error():
    model = toy.net()

    def run():
        toy.set_bits(model, ((6, 6), (5, 6)))
        return forward(model)()

    with pytest.raises(BitWidthError, match="gives 'conv2' 2 bits, but the host evaluated it at 6"):
        runtime().rfquant_run_phase(phase("validate", model, BitWidths((2, 5), (6, 6), "x")), run)


def test_calibration_inside_validate_is_clean():
    model, plugin = toy.net(), runtime(golden_run=False)
    golden = forward(model)().value
    outer = phase("validate", model)

    def run():
        inner = plugin.rfquant_run_phase(phase("calibrate", model, parent=outer), forward(model))
        assert torch.equal(inner.value, golden)
        return forward(model)()

    assert not torch.equal(plugin.rfquant_run_phase(outer, run).value, golden)


def test_calibration_outside_validate_is_left_alone():
    assert runtime().rfquant_run_phase(phase("calibrate", toy.net()), forward) is None


def test_faulty_calibration_is_left_under_injection():
    model, plugin = toy.net(), runtime(bn_calibration="faulty", golden_run=False)
    outer = phase("validate", model)

    def run():
        assert plugin.rfquant_run_phase(phase("calibrate", model, parent=outer), forward) is None
        return forward(model)()

    plugin.rfquant_run_phase(outer, run)


def test_both_calibrations_are_told_and_the_clean_one_is_quoted(capsys):
    model, plugin, seen = toy.net(), runtime(bn_calibration="both", golden_run=False), []
    golden, outer = forward(model)().value, phase("validate", model)

    def run():
        inner = plugin.rfquant_run_phase(phase("calibrate", model, parent=outer), forward(model))
        faulted = forward(model)().value
        seen.append(torch.equal(faulted if inner is None else inner.value, golden))
        return PhaseOutcome(len(seen), (80.0 - 10 * len(seen),))

    assert plugin.rfquant_run_phase(outer, run).metrics == (60.0,)
    assert seen == [False, True]  # faulty first: the host is left with the clean one
    out = capsys.readouterr().out
    assert "quoted with BatchNorm calibrated with clean weights" in out
    assert "calibrated under the same upsets: 70.00 %, +10.00 percentage points" in out


def test_ranks_that_saw_other_upsets_are_an_error(monkeypatch):
    model, plugin = toy.net(), runtime(golden_run=False)
    monkeypatch.setattr(
        "seu_plugin.injection.devices.on_every_rank", lambda mine: [mine, {"conv2": (1, 1)}]
    )
    with pytest.raises(InjectionError, match=r"site 'conv2': rank 0 saw .* rank 1 1 in 1"):
        plugin.rfquant_run_phase(phase("validate", model), forward(model))


@pytest.mark.parametrize("name", ["train", "search"])
def test_other_phases_are_left_alone_by_default(name):
    assert runtime().rfquant_run_phase(phase(name, toy.net()), forward) is None


def test_validate_inside_a_search_is_left_alone():
    model = toy.net()
    outer = phase("search", model)
    assert runtime().rfquant_run_phase(phase("validate", model, parent=outer), forward) is None


def test_train_sees_other_maps_in_every_epoch_and_the_same_when_resumed():
    model = toy.net()
    plugin = runtime(enable_in_training=True, persistence="per_forward")
    one, two, again = (
        plugin.rfquant_run_phase(phase("train", model, epoch=e), forward(model)).value
        for e in (0, 1, 1)
    )
    assert not torch.equal(one, two)
    assert torch.equal(two, again)


def test_the_ber_of_an_epoch_is_that_of_the_schedule(capsys):
    model = toy.net().train()
    schedule = {"shape": "steps", "steps": {1: 1e-3, 3: 0.1}}
    plugin = Runtime(
        parse_section(
            {
                "seed": 1,
                "enable_in_training": True,
                "enable_in_inference": False,
                "ber_by_epoch": schedule,
            }
        )
    )
    for epoch in (0, 1, 3):
        plugin.rfquant_run_phase(phase("train", model, epoch=epoch), forward(model))
    lines = [line for line in capsys.readouterr().out.splitlines() if "epoch" in line]
    assert [line.split("(")[1] for line in lines] == [
        "BER 0, seed 1)",
        "BER 0.001, seed 1)",
        "BER 0.1, seed 1)",
    ]
    upsets = [int(line.split()[3].replace(",", "")) for line in lines]
    assert upsets[0] == 0 < upsets[1] < upsets[2]


@pytest.mark.parametrize("training", [True, False])
def test_a_fault_aware_search_sees_upsets_in_either_mode(training, capsys):
    model = toy.net().train(training)
    golden = forward(model)().value
    plugin = runtime(enable_in_search=True, enable_in_inference=False)
    found = plugin.rfquant_run_phase(phase("search", model), forward(model))
    assert not torch.equal(found.value, golden)
    assert "search: " in capsys.readouterr().out
    plugin.rfquant_unconfigure(error=None)


def test_validate_inside_a_fault_aware_search_is_not_evaluated_twice():
    model, plugin = toy.net(), runtime(enable_in_search=True)
    outer = phase("search", model)

    def run():
        inner = phase("validate", model, parent=outer)
        assert plugin.rfquant_run_phase(inner, forward(model)) is None
        return forward(model)()

    plugin.rfquant_run_phase(outer, run)


def test_a_drawn_seed_holds_for_the_whole_run(capsys):
    model, plugin = toy.net(), runtime(seed=None, golden_run=False)
    one, two = (
        plugin.rfquant_run_phase(phase("validate", model), forward(model)).value for _ in range(2)
    )
    assert torch.equal(one, two)
    assert f"seed {plugin.section.seed}" in capsys.readouterr().out


def test_an_exception_of_the_host_propagates_and_leaves_no_trace():
    model, plugin = toy.net(), runtime()
    golden = forward(model)().value
    runs = []

    def run():
        runs.append(forward(model)())
        if len(runs) == 2:
            raise KeyError("host")
        return runs[-1]

    with pytest.raises(KeyError, match="host"):
        plugin.rfquant_run_phase(phase("validate", model), run)
    assert torch.equal(forward(model)().value, golden)
    assert plugin.rfquant_run_phase(phase("calibrate", model), forward) is None


def test_a_run_without_an_injection_is_an_error_at_the_end():
    plugin = runtime()
    plugin.rfquant_run_phase(phase("train", toy.net()), forward)
    with pytest.raises(InjectionError, match="the host ran train, with enable_in_training False,"):
        plugin.rfquant_unconfigure(error=None)


def test_a_run_that_failed_or_injected_ends_in_peace():
    plugin, model = runtime(), toy.net()
    plugin.rfquant_unconfigure(error=KeyError())
    plugin.rfquant_run_phase(phase("validate", model), forward(model))
    plugin.rfquant_unconfigure(error=None)


def test_the_model_is_checked_when_it_is_built(tmp_path):
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"configurations": [{"weight_bits": [4], "act_bits": [4]}]}))
    plugin = runtime(bit_width_config={"path": str(path)})
    with pytest.raises(BitWidthError, match=r"^fault_injection\.bit_width_config: .*1 entries"):
        plugin.rfquant_model_built({}, toy.net())


@pytest.mark.parametrize(
    "section,error,message",
    [
        ({"layers": {"include": ["x"]}}, SiteError, r"^fault_injection\.layers\.include: "),
        ({"encoding": "unsigned"}, ConfigError, r"^fault_injection\.encoding: "),
        ({"bits": [9]}, ConfigError, r"^fault_injection\.bits: "),
        (
            {"protection": {"scheme": "tmr", "layers": {"include": "conv9"}}},
            ConfigError,
            r"^fault_injection\.protection\.0\.layers\.include: ",
        ),
        (
            {
                "protection": {"scheme": "parity", "data_bits": 4},
                "memory": {"packing": "aligned"},
            },
            ConfigError,
            r"^fault_injection\.memory\.packing: ",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_named_by_its_path(section, error, message):
    with pytest.raises(error, match=message):
        runtime(**section).rfquant_model_built({}, toy.net())


def test_a_bad_device_is_named_by_its_path():
    with pytest.raises(ConfigError, match=r"^fault_injection\.device: cannot be used here"):
        runtime(device="nowhere")


def test_files_are_found_from_the_working_directory_or_beside_the_script(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("sys.argv", [str(there / "main.py")])
    (there / "a.json").touch()
    assert find_file("a.json").resolve() == there / "a.json"
    (here / "a.json").touch()
    assert find_file("a.json").resolve() == here / "a.json"


def by_epoch(**schedule):
    section = {"enable_in_training": True, "enable_in_inference": False, "ber_by_epoch": schedule}
    return Runtime(parse_section(section))


def test_a_schedule_that_never_injected_is_an_error_at_the_end():
    model = toy.net().train()
    plugin = by_epoch(shape="steps", steps={20: 1e-3})
    plugin.rfquant_run_phase(phase("train", model, epoch=0), forward(model))
    with pytest.raises(InjectionError, match="ended without an injection"):
        plugin.rfquant_unconfigure(error=None)
    plugin.rfquant_run_phase(phase("train", model, epoch=20), forward(model))
    plugin.rfquant_unconfigure(error=None)


def test_a_schedule_of_zeros_asks_for_nothing():
    model = toy.net().train()
    plugin = by_epoch(shape="constant", start=0)
    plugin.rfquant_run_phase(phase("train", model, epoch=0), forward(model))
    plugin.rfquant_unconfigure(error=None)


@pytest.mark.parametrize(
    ("config", "training", "warned"),
    [
        ({"eval": False, "search": False}, False, True),
        ({"eval": True, "search": False}, False, False),
        ({"eval": False, "search": False}, True, False),
        ({}, False, False),
    ],
)
def test_training_without_upsets_is_warned_of_before_it_begins(config, training, warned, capsys):
    Runtime(parse_section({"ber": 1e-3, "enable_in_training": training}), config)
    assert ("nothing will be injected" in capsys.readouterr().out) == warned


def test_words_read_as_nan_are_told_of_in_training(capsys):
    model = toy.net().train()
    plugin = runtime(ber=0.1, seed=2, enable_in_training=True, targets=["batch_norm"])
    plugin.rfquant_run_phase(phase("train", model, epoch=0), forward(model))
    assert "words read as NaN or Inf" in capsys.readouterr().out


def test_a_run_of_a_list_says_what_applies_to_it(tmp_path, capsys):
    path = tmp_path / "f.csv"
    path.write_text("site,word,bit\nfc,0,1\n")
    model, plugin = toy.net(), Runtime(parse_section({"faults": str(path)}))
    plugin.rfquant_model_built({}, model)
    plugin.rfquant_run_phase(phase("validate", model), forward(model))
    said = capsys.readouterr().out
    assert "faulted run (1 listed upset):" in said and "Upsets made at 1 listed upset " in said
    assert "seed" not in said
    assert "to change: faults under fault_injection in the YAML" in said


def test_a_list_that_does_not_fit_the_model_is_named_by_file_and_line(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("site,word,bit\nfc,0,1\nconv,0,1\n")
    plugin = Runtime(parse_section({"faults": str(path)}))
    told = rf"^fault_injection\.faults: {path}, line 3: the model has no site 'conv'; did you"
    with pytest.raises(SiteError, match=told):
        plugin.rfquant_model_built({}, toy.net())


def test_a_list_is_checked_again_at_the_widths_that_are_evaluated(tmp_path):
    path, widths = tmp_path / "f.csv", tmp_path / "w.json"
    path.write_text("site,word,bit\nconv2,0,3\n")
    one = {"weight_bits": [3, 3], "act_bits": [4, 4]}
    widths.write_text(json.dumps({"configurations": [one]}))
    section = {"faults": str(path), "bit_width_config": {"path": str(widths)}}
    model, plugin = toy.net(), Runtime(parse_section(section))
    plugin.rfquant_model_built({}, model)
    validate = phase("validate", model, plugin.rfquant_bit_widths({}))
    with pytest.raises(SiteError, match=r"f\.csv, line 2: site 'conv2': no bit 3"):
        plugin.rfquant_run_phase(validate, forward(model))
