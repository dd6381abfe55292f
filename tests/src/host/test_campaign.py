"""A campaign over phases made by hand."""

import logging
import sys

import pytest
import torch

import made_up
import toy
from rfquant_hooks.contract import BitWidths, Phase, PhaseOutcome
from seu_plugin.analysis.manifest import read_manifest
from seu_plugin.analysis.rows import TRIALS, read_rows
from seu_plugin.errors import BitWidthError, ConfigError
from seu_plugin.host.campaign import host_silenced, write_scalars
from seu_plugin.host.runtime import Runtime
from seu_plugin.plugin import rfquant_options
from seu_plugin.settings.section import parse_section

IMAGES = toy.batch(16)


def runtime(folder, config=None, campaign=None, **section):
    plan = {"ber": [1e-3, 1e-2], "trials": 3, "threshold": "grid", "output": str(folder)}
    section = {"seed": 1, **section, "campaign": {**plan, **(campaign or {})}}
    return Runtime(parse_section(section), config)


def phase(name, model, widths=None, parent=None, **arguments):
    return Phase(name, model, {}, arguments, widths, parent)


class Host:
    """Calibrates, as a phase inside, and evaluates."""

    def __init__(self, plugin, model):
        self.plugin, self.model = plugin, model
        self.calibrations = self.runs = 0

    def calibrate(self):
        self.calibrations += 1
        for norm in self.norms():
            norm.reset_running_stats()
            norm.training, norm.momentum = True, None
        with torch.no_grad():
            self.model(IMAGES)
        self.model.eval()
        return PhaseOutcome(None)

    def norms(self):
        return [m for m in self.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]

    def run(self):
        self.runs += 1
        inner = phase("calibrate", self.model, parent=phase("validate", self.model))
        if self.plugin.rfquant_run_phase(inner, self.calibrate) is None:
            self.calibrate()
        with torch.no_grad():
            out = self.model(IMAGES)
        print("a line of the host")
        return PhaseOutcome(out, (toy.percent(out),))

    def validate(self, widths=None, **arguments):
        return self.plugin.rfquant_run_phase(
            phase("validate", self.model, widths, **arguments), self.run
        )


def metrics(folder):
    return {r.trial.id: r.metrics for r in read_rows(folder / TRIALS)[0]}


def test_the_host_gets_the_golden_outcome(tmp_path, capsys):
    host = Host(runtime(tmp_path), toy.net())
    outcome = host.validate()
    golden = Host(runtime(tmp_path / "other"), toy.net())
    golden.calibrate()
    with torch.no_grad():
        assert torch.equal(outcome.value, golden.model(IMAGES))
    assert len(metrics(tmp_path)) == 1 + 6
    assert capsys.readouterr().out.count("a line of the host") == 1
    assert "a line of the host" in (tmp_path / "host.log").read_text()
    host.plugin.rfquant_unconfigure(error=None)


def test_batchnorm_is_calibrated_once_and_clean(tmp_path):
    # With reuse, which is chosen by measured time, two trials may be run twice.
    host = Host(runtime(tmp_path, campaign={"reuse": False}), toy.net())
    host.validate()
    assert (host.calibrations, host.runs) == (1, 7)


def test_faulty_calibration_is_done_in_each_trial(tmp_path):
    every = {"bn_calibration": "faulty", "campaign": {"reuse": False}}
    host = Host(runtime(tmp_path, **every), toy.net())
    host.validate()
    assert host.calibrations == host.runs == 7
    clean = Host(runtime(tmp_path / "clean"), toy.net())
    clean.validate()
    one, other = metrics(tmp_path), metrics(tmp_path / "clean")
    assert one["golden"] == other["golden"] and one["0.01:0"] != other["0.01:0"]


def test_a_second_validate_has_a_folder_of_its_own(tmp_path):
    host = Host(runtime(tmp_path / "out"), toy.net())
    host.validate()
    host.validate()
    assert metrics(tmp_path / "out") == metrics(tmp_path / "out-2")


def test_a_drawn_seed_is_kept_when_the_campaign_goes_on(tmp_path):
    Host(runtime(tmp_path, seed=None), toy.net()).validate()
    seed, before = read_manifest(tmp_path)["seed"], metrics(tmp_path)
    Host(runtime(tmp_path, seed=None, campaign={"trials": 4}), toy.net()).validate()
    assert read_manifest(tmp_path)["seed"] == seed
    assert before.items() < metrics(tmp_path).items()


def test_another_section_is_refused_at_once(tmp_path):
    Host(runtime(tmp_path), toy.net()).validate()
    with pytest.raises(ConfigError, match=r"^fault_injection\.campaign\.output: .*section\.bits"):
        runtime(tmp_path, bits="msb")


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"campaign\.output: cannot write to .*file.out \(Not"):
        runtime(tmp_path / "file" / "out")


def test_widths_that_the_host_did_not_evaluate_are_an_error(tmp_path):
    host = Host(runtime(tmp_path), toy.net())
    run = host.run

    def other():
        toy.set_bits(host.model, ((6, 6), (5, 6)))
        return run()

    host.run = other
    with pytest.raises(BitWidthError, match="gives 'conv2' 4 bits, but the host evaluated it at 6"):
        host.validate(BitWidths((4, 3), (4, 5), "x.json"))


def test_workers_and_a_search_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be combined with search: true"):
        runtime(tmp_path, {"search": True}, {"workers": 2})


class Writer:
    def __init__(self):
        self.rows = []

    def add_scalar(self, *row):
        self.rows.append(row)


class Monitor:
    def __init__(self):
        self.writer = Writer()


def test_the_hosts_tensorboard_is_told(tmp_path):
    monitor = Monitor()
    Host(runtime(tmp_path), toy.net()).validate(monitors=[object(), monitor])
    names = {(name, step) for name, _, step in monitor.writer.rows}
    assert ("seu/top1_mean_0", -300) in names and ("seu/top1_worst_0", -200) in names


@pytest.mark.parametrize("monitors", [None, [], "x", [None]])
def test_a_host_without_one_is_fine(monitors):
    write_scalars(monitors, made_up.summary())


def test_silence_ends(tmp_path, capsys):
    before, out = logging.root.manager.disable, sys.stdout
    with pytest.raises(KeyError), host_silenced(tmp_path / "host.log"):
        print("hidden")
        raise KeyError
    assert (logging.root.manager.disable, sys.stdout) == (before, out)
    assert "hidden" not in capsys.readouterr().out


def test_options_stand_for_keys():
    assert set(rfquant_options()) == {"--shard", "--workers", "--output"}
