"""The entry point: light until it is wanted."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from rfquant_hooks import create_manager
from seu_plugin import plugin
from seu_plugin.errors import ConfigError

SECTION = {"ber": 1e-3}


def configured(config):
    manager = create_manager([plugin], entry_points=False)
    manager.hook.rfquant_configure(config=config, manager=manager, options={})
    return manager.has_plugin("seu-runtime")


@pytest.mark.parametrize("make", [dict, lambda **kw: SimpleNamespace(**kw)])
def test_the_working_object_is_there_only_with_the_section(make):
    assert configured(make(name="x", fault_injection=SECTION))
    assert not configured(make(name="x"))


def test_a_section_that_is_off_registers_nothing():
    assert not configured({"fault_injection": {"enabled": False}})


def test_an_empty_section_is_an_error():
    with pytest.raises(ConfigError, match="must be a mapping of settings"):
        configured({"fault_injection": None})


@pytest.mark.parametrize(
    "name", ["fault_injecton", "faultinjection", "fault_injections", "FAULT_INJECTION"]
)
def test_a_misspelled_section_is_an_error(name):
    with pytest.raises(ConfigError, match=f"{name}: unknown section; did you mean"):
        configured({name: SECTION})


def test_importing_the_entry_point_imports_neither_torch_nor_pydantic():
    code = "import sys, seu_plugin.plugin; assert not {'torch', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def configured_twice(first, second):
    manager = create_manager([plugin], entry_points=False)
    manager.hook.rfquant_configure(config=first, manager=manager, options={})
    manager.hook.rfquant_configure(config=second, manager=manager, options={})


@pytest.mark.parametrize("second", [{"fault_injection": {"ber": 1e-4}}, {"name": "no section"}])
def test_another_section_later_in_the_run_is_an_error(second):
    with pytest.raises(ConfigError, match="configured with another section before"):
        configured_twice({"fault_injection": SECTION}, second)


def test_the_same_section_in_another_configuration_is_fine():
    configured_twice({"fault_injection": SECTION}, {"fault_injection": SECTION, "name": "x"})


def test_widths_from_a_file_and_a_search_exclude_each_other(tmp_path):
    section = dict(SECTION, bit_width_config={"path": str(tmp_path / "x.json")})
    with pytest.raises(ConfigError, match=r"bit_width_config: cannot be combined with search"):
        configured({"search": True, "fault_injection": section})


def test_a_mistake_names_the_file_and_the_line_that_it_stands_in(tmp_path, monkeypatch):
    path = tmp_path / "c.yaml"
    path.write_text("a: 1\nfault_injection:\n  campaign:\n    trials: 1\n    workers: 2\n")
    monkeypatch.setattr("sys.argv", ["main.py", str(path)])
    config = {"fault_injection": {"campaign": {"trials": 1, "workers": 2}}}
    with pytest.raises(ConfigError, match=rf"^{path}, line 4: fault_injection\.campaign\.trials: "):
        configured(config)
    manager = create_manager([plugin], entry_points=False)
    config["fault_injection"]["campaign"]["trials"] = 3
    with pytest.raises(ConfigError, match=r"^fault_injection\.campaign\.workers: "):
        # From the command line: the file is right.
        options = {"workers": "0"}
        manager.hook.rfquant_configure(config=config, manager=manager, options=options)
