"""What else is in the host's configuration."""

import pytest

import toy
from seu_plugin.errors import ConfigError, SiteError
from seu_plugin.host.check_config import check_checkpoint
from seu_plugin.host.runtime import Runtime
from seu_plugin.settings.section import parse_section


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("enable_in_training", "fault_aware_training"), ("enable_in_search", "fault_aware_search")],
)
def test_two_injectors_in_one_phase_are_refused_at_configuration(ours, theirs):
    section = parse_section({"ber": 0.1, ours: True})
    with pytest.raises(ConfigError, match=rf"fault_injection\.{ours}: .* {theirs}\.enabled"):
        Runtime(section, {theirs: {"enabled": True}})
    Runtime(section, {theirs: {"enabled": False}})
    Runtime(parse_section({"ber": 0.1}), {theirs: {"enabled": True}})


def test_a_checkpoint_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"resume\.path: no such file; received 'x\.pth'"):
        check_checkpoint({"resume": {"path": "x.pth"}})
    (tmp_path / "x.pth").write_text("")
    for config in ({"resume": {"path": "x.pth"}}, {"resume": {"path": None}}, {"resume": None}, {}):
        check_checkpoint(config)


def test_ray_that_is_not_installed_is_found_before_the_golden_run(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"campaign\.engine: ray is not installed"):
        Runtime(parse_section({"campaign": {"engine": "ray"}}), {})


@pytest.mark.parametrize("output", ["x" * 300, "/proc/nothing/there"])
def test_an_output_that_cannot_be_is_found_before_the_golden_run(output):
    with pytest.raises(ConfigError, match="output: cannot write to") as error:
        Runtime(parse_section({"campaign": {"output": output}}), {})
    assert len(str(error.value)) <= 400


def test_a_ber_that_nothing_uses_is_said(capsys, tmp_path):
    campaign = {"ber": [1e-3], "output": str(tmp_path / "r")}
    Runtime(parse_section({"ber": 1e-2, "campaign": campaign}), {})
    assert "fault_injection.ber is not used" in capsys.readouterr().out
    Runtime(parse_section({"campaign": campaign}), {})
    Runtime(parse_section({"ber": 1e-2, "enable_in_training": True, "campaign": campaign}), {})
    assert "is not used" not in capsys.readouterr().out


def test_rows_that_are_damaged_are_named_with_one_prefix(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "trials.jsonl").write_text("x\n")
    with pytest.raises(ConfigError) as error:
        Runtime(parse_section({"campaign": {"output": str(tmp_path)}}), {})
    assert str(error.value).startswith(f"fault_injection.campaign.output: {tmp_path}/trials.jsonl")


@pytest.mark.parametrize("fault", [["conv9", 0, 0], ["conv2", 10**6, 0], ["conv2", 0, 7]])
def test_a_listed_upset_outside_of_the_model_is_found_when_it_is_built(fault):
    runtime = Runtime(parse_section({"mode": "fault_list", "faults": [fault]}), {})
    with pytest.raises(SiteError, match=r"^fault_injection\..*conv"):
        runtime.rfquant_model_built({}, toy.net())
