"""The words of the contract, and what they cost to import."""

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import pytest

import rfquant_hooks
from rfquant_hooks import BitWidths, Phase, PhaseOutcome
from rfquant_hooks.contract import setting


def phase(name, parent=None):
    return Phase(name, model=None, config=None, arguments={}, parent=parent)


@pytest.mark.parametrize("module", ["torch", "pydantic", "seu_plugin", "numpy"])
def test_importing_the_hooks_does_not_import(module):
    code = f"import sys, rfquant_hooks, rfquant_hooks.launcher; print({module!r} in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert shown.stdout.decode().strip() == "False"


@pytest.mark.parametrize("name", rfquant_hooks.__all__)
def test_every_exported_name_exists(name):
    assert hasattr(rfquant_hooks, name)


def test_the_project_is_the_entry_point_group():
    assert rfquant_hooks.PROJECT == "rfquant"


@pytest.mark.parametrize(
    "value,field",
    [
        (BitWidths((4,), (4,)), "source"),
        (phase("train"), "name"),
        (PhaseOutcome(None), "value"),
    ],
)
def test_values_are_frozen(value, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, "other")


def test_an_outcome_has_no_metrics_by_default():
    assert PhaseOutcome([70.0]).metrics == ()


def test_a_phase_is_not_inside_itself():
    assert not phase("validate").inside("validate")


def test_a_phase_is_inside_its_parent():
    assert phase("calibrate", phase("validate")).inside("validate")


def test_a_phase_is_inside_its_parents_parent():
    assert phase("calibrate", phase("validate", phase("search"))).inside("search")


def test_a_phase_is_not_inside_a_phase_that_does_not_enclose_it():
    assert not phase("calibrate", phase("validate")).inside("search")


def test_the_text_of_a_phase_leaves_out_its_arguments():
    full = Phase("train", model="m", config="c", arguments={"loader": "a long list"})
    assert "a long list" not in repr(full)


@pytest.mark.parametrize("config", [{"search": 7}, SimpleNamespace(search=7)])
def test_a_setting_is_read_from_a_mapping_or_an_object(config):
    assert setting(config, "search") == 7


@pytest.mark.parametrize("config", [{}, SimpleNamespace(), None])
def test_a_missing_setting_is_the_default(config):
    assert setting(config, "search", "default") == "default"
