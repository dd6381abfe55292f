"""Repairs of bit widths: where the host keeps, passes and imports them."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Iterator, Mapping, Tuple

from .contract import PluginError, setting
from .profiles import PhaseFunction
from .repair import Repair, syntax

_PACKAGE = "_rfquant_host"


class PolicyBits(Repair):
    name = "policy-bits"
    summary = "policy.BITS has no entry for the architecture that eval looks up"

    def after_config(self, config: Any) -> None:
        """Raises PluginError if the entry is missing and no plugin gives widths."""
        policy = self.host.module("policy")
        bits, arch = getattr(policy, "BITS", None), setting(config, "arch")
        evaluates = setting(config, "eval", False) and not setting(config, "search", False)
        if policy is None or not isinstance(bits, dict) or arch is None or arch in bits:
            return
        if not evaluates or not self._is_looked_up(policy, bits):
            return
        widths = self.host.bit_widths(config)
        if widths is None:
            raise PluginError(
                f"arch: {arch}: policy.BITS has no entry for it, which eval: true looks up; give "
                "a bit_width_config in the section of an enabled plugin, or fill policy.py"
            )
        for phase in self.host.profile.phases:
            if phase.policy is not None:
                # In place: the script holds the same dictionary.
                self.host.patches.item(bits, arch, phase.write_policy(widths))
                self.report(f"policy.BITS[{arch!r}] filled from {widths.source or 'a plugin'}")
                return

    def _is_looked_up(self, policy: ModuleType, bits: Any) -> bool:
        return any(
            value is bits or value is policy
            for module in self.host.modules()
            if module is not policy
            for value in list(vars(module).values())
        )


class IntegerWidths(Repair):
    name = "integer-widths"
    summary = "layers hold lists of candidates where validate multiplies bit widths"

    def before_phase(self, phase: PhaseFunction, arguments: Mapping[str, Any]) -> None:
        # validate sets the real widths itself, but fails on the lists on its way there.
        if phase.phase != "validate":
            return
        layers, norms = 0, 0
        for module in _modules(arguments.get(phase.model)):
            if _are_lists(getattr(module, "bits", None)):
                module.bits = _first(module.bits)
                layers += 1
            if hasattr(module, "switch_bn") and _are_lists(getattr(module, "bit_width", None)):
                module.switch_bn(_first(module.bit_width))
                norms += 1
        if layers or norms:
            self.report(f"{layers} layers and {norms} BatchNorms set from lists to one width")


class AbitKeyword(Repair):
    name = "abit-keyword"
    summary = "main calls switch_bit_width(abit=...), whose parameter is abits"

    def after_config(self, config: Any) -> None:
        module = self.host.module("util.mpq")
        original = getattr(module, "switch_bit_width", None)
        if module is None or original is None:
            return
        parameters = inspect.signature(original).parameters
        if "abit" in parameters or "abits" not in parameters:
            return
        if not self.host.keyword_values("switch_bit_width", "abit"):
            return

        @functools.wraps(original)
        def switch_bit_width(*args: Any, **kwargs: Any) -> Any:
            if "abit" in kwargs and "abits" not in kwargs:
                kwargs["abits"] = kwargs.pop("abit")
                self.report("switch_bit_width(abit=...) passed on as abits")
            return original(*args, **kwargs)

        self.host.patches.replace(module, original, switch_bit_width)


class RelativePolicy(Repair):
    name = "relative-policy"
    summary = "validate without a policy imports .policy, but process is in no package"

    def before_phase(self, phase: PhaseFunction, arguments: Mapping[str, Any]) -> None:
        module = self.host.module(phase.module)
        if module is None or phase.policy is None or module.__package__:
            return
        if arguments.get(phase.policy, module) is not None or not _imports_policy(module):
            return
        if not (self.host.folder / "policy.py").is_file():
            return
        package = ModuleType(_PACKAGE, "The host's folder as a package, for one import.")
        package.__path__ = []
        set_ = self.host.patches
        set_.item(sys.modules, _PACKAGE, package)
        set_.item(sys.modules, f"{_PACKAGE}.policy", importlib.import_module("policy"))
        set_.set(module, "__spec__", ModuleSpec(f"{_PACKAGE}.{module.__name__}", None))
        set_.set(module, "__package__", _PACKAGE)
        self.report(f"{module.__name__} can import .policy")


def _imports_policy(module: ModuleType) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and node.level == 1 and node.module == "policy"
        for node in ast.walk(syntax(module))
    )


def _modules(model: Any) -> Iterator[Any]:
    modules = getattr(model, "modules", None)
    return iter(modules()) if callable(modules) else iter(())


def _are_lists(pair: Any) -> bool:
    return (
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and all(isinstance(widths, (list, tuple)) and widths for widths in pair)
    )


def _first(pair: Any) -> Tuple[int, int]:
    return int(pair[0][0]), int(pair[1][0])
