"""A host's profile in a file: YAML, or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from .contract import PluginError
from .profile_words import is_dotted, labels_of, metrics_of, policy_of, split
from .profiles import PHASES, HostProfile, PhaseFunction
from .spelling import did_you_mean, shown

#: How the name of a profile's file ends.
ENDINGS = (".yaml", ".yml", ".json")
_KEYS = ("name", "phases", "read_config", "build_model")
_PHASE_KEYS = (
    *("phase", "module", "function", "model", "config", "policy", "write_policy"),
    *("data", "read_labels", "read_metrics", "required"),
)
#: Parameters of the host's function; only the model must have one.
_PARAMETERS = {"model": False, "config": True, "policy": True, "data": True}


def read_profile(path: str) -> HostProfile:
    """The profile in a file.

    Functions that it names as ``module:function`` are imported. Raises PluginError, which names
    the file and the key, if it cannot be read or says what is no profile.
    """
    data = _Part(path, ": ", _parsed(path), _KEYS, required=("name", "phases"))
    phases = data.values["phases"]
    if not isinstance(phases, list):
        raise PluginError(f"{data.at('phases')}: must be a list; received {shown(phases)}")
    found = tuple(_phase(f"{data.at('phases')}[{i}]", one) for i, one in enumerate(phases))
    name = data.text("name", "a text", str.strip)
    read_config, build_model = data.function("read_config"), data.function("build_model")
    try:
        return HostProfile(name, found, read_config, build_model)
    except PluginError as error:
        raise PluginError(f"{path}: {error}") from None


def _phase(place: str, value: Any) -> PhaseFunction:
    data = _Part(place, ".", value, _PHASE_KEYS, required=("phase", "module", "function"))
    given: Dict[str, Any] = {
        "phase": data.one_of("phase", PHASES),
        "module": data.text("module", "the name of a module", is_dotted),
        "function": data.text("function", "the name of a function", str.isidentifier),
    }
    for key, may_lack in _PARAMETERS.items():
        if key in data.values:
            given[key] = data.parameter(key, may_lack)
    for key, read in (
        ("write_policy", policy_of),
        ("read_labels", labels_of),
        ("read_metrics", metrics_of),
    ):
        if key in data.values:
            given[key] = read(data.at(key), data.values[key])
    for key, needs in (("write_policy", "policy"), ("read_labels", "data")):
        if key in given and given.get(needs) is None:
            raise PluginError(f"{data.at(key)}: is for {needs}, which is not there")
    if "required" in data.values:
        given["required"] = data.flag("required")
    return PhaseFunction(**given)


class _Part:
    """One mapping of a profile, and where it stands. Raises PluginError for what is wrong in it."""

    def __init__(
        self, place: str, joint: str, value: Any, keys: Iterable[str], required: Iterable[str]
    ) -> None:
        self._place, self._joint = place, joint
        if not isinstance(value, dict):
            raise PluginError(
                f"{place}: must be a mapping with {', '.join(required)}; received {shown(value)}"
            )
        self.values: Dict[Any, Any] = value
        keys = list(keys)
        for key in value:
            if key not in keys:
                hint = did_you_mean(str(key), keys)
                raise PluginError(
                    f"{place}: unknown key {shown(key)}{hint} (keys: {', '.join(keys)})"
                )
        for key in required:
            if key not in value:
                raise PluginError(f"{place}: {key} is missing")

    def at(self, key: str) -> str:
        return f"{self._place}{self._joint}{key}"

    def _refuse(self, key: str, allowed: str, hint: str = "") -> PluginError:
        return PluginError(
            f"{self.at(key)}: must be {allowed}; received {shown(self.values[key])}{hint}"
        )

    def text(self, key: str, what: str, fits: Callable[[str], object]) -> str:
        value = self.values[key]
        if isinstance(value, str) and fits(value):
            return value
        raise self._refuse(key, what)

    def one_of(self, key: str, allowed: Tuple[str, ...]) -> str:
        value = self.values[key]
        if isinstance(value, str) and value in allowed:
            return value
        hint = did_you_mean(value, allowed) if isinstance(value, str) else ""
        raise self._refuse(key, f"one of {', '.join(allowed)}", hint)

    def parameter(self, key: str, may_lack: bool) -> Optional[str]:
        value = self.values[key]
        if may_lack and value in (None, "none"):
            return None
        if isinstance(value, str) and value.isidentifier():
            return value
        none = ", or none" if may_lack else ""
        raise self._refuse(key, f"the name of a parameter of the function{none}")

    def flag(self, key: str) -> bool:
        value = self.values[key]
        if not isinstance(value, bool):
            raise self._refuse(key, "true or false")
        return value

    def function(self, key: str) -> Optional[Tuple[str, str]]:
        """A pair (module, function); None if it is not there."""
        value = self.values.get(key)
        if value in (None, "none"):
            return None
        found = split(value)
        if found is None:
            raise self._refuse(key, "module:function, or none")
        return found


def _parsed(path: str) -> Any:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise PluginError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise PluginError(f"{path}: is no text in UTF-8") from None
    try:
        return _json(path, text) if path.lower().endswith(".json") else _yaml(path, text)
    except RecursionError:
        raise PluginError(f"{path}: is nested too deeply") from None


def _json(path: str, text: str) -> Any:
    def once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        _check_once(path, [key for key, _ in pairs])
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise PluginError(f"{path}, line {error.lineno}: is not JSON ({error.msg})") from None
    except ValueError as error:  # a number of too many digits
        raise PluginError(f"{path}: is not JSON ({error})") from None


def _yaml(path: str, text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise PluginError(
            f"{path}: YAML needs the package pyyaml, which is not installed; JSON does not"
        ) from None

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Any, Any]:
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            _check_once(path, [key.value for key in keys])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        why = " ".join(str(getattr(error, "problem", None) or error).split())
        raise PluginError(f"{path}{line}: is not YAML ({why})") from None


def _check_once(path: str, keys: List[str]) -> None:
    for key in keys:
        if keys.count(key) > 1:
            raise PluginError(f"{path}: key {shown(key)} stands twice in one mapping")
