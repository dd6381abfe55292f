"""Which adapters are asked, and what they may answer."""

import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
from torch import nn

import toy
from affine import AffineAdapter, AffineLinear, registered
from seu_plugin import FaultInjector
from seu_plugin.errors import SiteError
from seu_plugin.quantizers import hookimpl
from seu_plugin.quantizers.adapters import rfquant
from seu_plugin.quantizers.registry import asked, create_manager, found_by


class Answers:
    """An adapter that gives what it was made with."""

    def __init__(self, answer):
        self.answer = answer

    @hookimpl
    def seu_sites(self, model):
        return self.answer(model)


def of_rfquant(model):
    return rfquant.seu_sites(model)


def of_mine(model):
    return [replace(site) for site in AffineAdapter().seu_sites(model)]


def both():
    return nn.Sequential(AffineLinear(4, 4), toy.QuanLinear(4, 4))


def test_the_builtin_adapters_come_first():
    with registered(AffineAdapter(), "affine"):
        assert asked() == ["rfquant", "torch.ao", "brevitas", "lsq-net", "torchao", "affine"]
    assert asked() == ["rfquant", "torch.ao", "brevitas", "lsq-net", "torchao"]


def test_sites_come_in_the_order_of_the_model_whoever_finds_them():
    with registered(AffineAdapter(), "affine"):
        found = [(adapter, site.name) for adapter, site in found_by(both())]
    assert found == [("affine", "0"), ("rfquant", "1")]


def test_two_adapters_that_claim_one_layer_are_both_named():
    with registered(AffineAdapter(), "affine"), registered(AffineAdapter(), "mine"):
        with pytest.raises(SiteError, match="layer '0': adapters 'affine' and 'mine' both claim"):
            found_by(both())


def test_a_model_in_which_none_finds_a_site_names_those_asked():
    expected = "has no quantized layer that an adapter knows (asked: rfquant, torch.ao"
    with registered(AffineAdapter(), "affine"):
        with pytest.raises(SiteError, match=re.escape(expected)) as error:
            FaultInjector(nn.Sequential(nn.Linear(1, 1)), ber=0.1)
    told = "(asked: rfquant, torch.ao, brevitas, lsq-net, torchao, affine): prepare it first"
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_adapter_that_knows_nothing_may_say_none():
    with registered(Answers(lambda model: None), "silent"):
        assert [adapter for adapter, _ in found_by(toy.net())] == ["rfquant"] * 4


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda model: 1 / 0, "adapter 'odd' failed on the model: ZeroDivisionError: division by"),
        (lambda model: 5, "adapter 'odd' failed on the model: TypeError"),
        (lambda model: ["a"], "adapter 'odd': gave a str, which is no site"),
        (lambda model: of_rfquant(both()), "a layer of another model"),
        (lambda model: [replace(s, name="x") for s in of_rfquant(model)], "'1' is named 'x'"),
        (
            lambda model: of_mine(model) + of_mine(model),
            "layer '0': adapter 'odd' gave two",
        ),
    ],
)
def test_an_adapter_that_answers_oddly_is_named(answer, told):
    with registered(Answers(answer), "odd"):
        with pytest.raises(SiteError, match=told) as error:
            found_by(both())
    assert "\n" not in str(error.value)


def test_what_an_error_of_an_adapter_says_is_not_changed():
    def refuse(model):
        raise SiteError("layer 'a': is not supported")

    with registered(Answers(refuse), "mine"):
        with pytest.raises(SiteError, match=r"^layer 'a': is not supported$"):
            found_by(both())


def manager_of(value, monkeypatch, loaded):
    """One entry point, of a module that is ``loaded``."""
    entry = EntryPoint("mine", value, "seu")
    monkeypatch.setattr(EntryPoint, "load", lambda self: loaded())
    return create_manager([entry, entry])


def test_an_entry_point_is_registered_once(monkeypatch):
    manager = manager_of("my_adapter", monkeypatch, AffineAdapter)
    builtin = ["rfquant", "torch.ao", "brevitas", "lsq-net", "torchao"]
    assert [name for name, _ in manager.list_name_plugin()] == [*builtin, "mine"]


class Misspelled:
    @hookimpl
    def seu_site(self, model):
        return []


@pytest.mark.parametrize(
    ("loaded", "told"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (Misspelled, "PluginValidationError: unknown hook 'seu_site' in plugin"),
        (SimpleNamespace, "has no hook seu_sites"),
    ],
)
def test_a_broken_entry_point_is_one_line(monkeypatch, loaded, told):
    with pytest.raises(SiteError) as error:
        manager_of("my_adapter", monkeypatch, loaded)
    assert str(error.value).startswith(
        "adapter 'mine' (entry point seu: my_adapter) cannot be used: "
    )
    assert told in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("package", ["torch.ao.nn.qat", "torchao"])
def test_what_layers_are_from_is_not_imported_to_ask(package):
    code = (
        "import sys, torch\nfrom seu_plugin.quantizers.sites import all_sites\n"
        f"before = {package!r} in sys.modules\n"
        "all_sites(torch.nn.Linear(1, 1))\n"
        f"assert before or {package!r} not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
