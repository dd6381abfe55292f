"""Which plugins are loaded, and which mistakes are told."""

import pytest

from rfquant_hooks import PluginError, create_manager, hookimpl


class Typo:
    @hookimpl
    def rfquant_run_phases(self, phase, run):
        return None


class Silent:
    @hookimpl
    def rfquant_bit_widths(self, config):
        return None


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("RFQUANT_BLOCK_PLUGINS", raising=False)


def test_installed_plugins_are_loaded():
    assert create_manager().has_plugin("seu")


def test_installed_plugins_are_not_loaded_when_not_wanted():
    assert not create_manager(entry_points=False).has_plugin("seu")


def test_plugins_that_are_handed_over_are_registered():
    plugin = Silent()
    assert create_manager([plugin], entry_points=False).is_registered(plugin)


def test_each_manager_has_its_own_plugins():
    create_manager([plugin := Silent()], entry_points=False)
    assert not create_manager(entry_points=False).is_registered(plugin)


@pytest.mark.parametrize(
    "name",
    [
        "rfquant_host_modules",
        "rfquant_configure",
        "rfquant_model_built",
        "rfquant_bit_widths",
        "rfquant_run_phase",
        "rfquant_unconfigure",
    ],
)
def test_the_manager_knows_the_hook(name):
    assert getattr(create_manager(entry_points=False).hook, name).has_spec()


def test_an_unknown_hook_is_an_error_that_names_it():
    with pytest.raises(PluginError, match="rfquant_run_phases"):
        create_manager([Typo()], entry_points=False)


def test_an_argument_blocks_a_plugin():
    assert not create_manager(blocked=["seu"]).has_plugin("seu")


@pytest.mark.parametrize("value", ["seu", " seu ,", ",seu"])
def test_the_environment_blocks_a_plugin(monkeypatch, value):
    monkeypatch.setenv("RFQUANT_BLOCK_PLUGINS", value)
    assert not create_manager().has_plugin("seu")


def test_an_empty_variable_blocks_nothing(monkeypatch):
    monkeypatch.setenv("RFQUANT_BLOCK_PLUGINS", "")
    assert create_manager().has_plugin("seu")


def test_the_environment_may_block_a_plugin_that_is_not_asked_for(monkeypatch):
    monkeypatch.setenv("RFQUANT_BLOCK_PLUGINS", "seu")
    assert not create_manager(entry_points=False).has_plugin("seu")


def test_blocking_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(PluginError, match=r"cannot block plugin 'sue'.*\bseu\b"):
        create_manager(blocked=["sue"])


def test_blocking_an_unknown_name_by_the_environment_is_an_error_too(monkeypatch):
    monkeypatch.setenv("RFQUANT_BLOCK_PLUGINS", "seu,sue")
    with pytest.raises(PluginError, match=r"cannot block plugin 'sue'.*\bseu\b"):
        create_manager()
