"""What a profile in a file may say of a host's values: a word, a position, or a function."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Tuple

from .contract import BitWidths, PluginError
from .importing import importing
from .patching import exists
from .profiles import (
    as_predefined_architectures,
    no_metrics,
    second_of_pair,
    top1_per_architecture,
)
from .spelling import did_you_mean, shown

Metrics = Callable[[Any], Tuple[float, ...]]
Labels = Callable[[Any], Any]
Policy = Callable[[BitWidths], Any]


def first_of_pair(batch: Any) -> Any:
    """Labels of a loader that yields (targets, inputs)."""
    return batch[0] if isinstance(batch, (list, tuple)) and len(batch) == 2 else None


def as_pair_of_lists(widths: BitWidths) -> Tuple[List[int], List[int]]:
    """(weight widths, activation widths)."""
    return list(widths.weights), list(widths.activations)


def itself(value: Any) -> Any:
    return value


METRICS: Mapping[str, Metrics] = {
    "none": no_metrics,
    "top1_per_architecture": top1_per_architecture,
}
LABELS: Mapping[str, Optional[Labels]] = {
    "none": None,
    "first_of_pair": first_of_pair,
    "second_of_pair": second_of_pair,
}
POLICIES: Mapping[str, Policy] = {
    "predefined_architectures": as_predefined_architectures,
    "pair_of_lists": as_pair_of_lists,
}


@dataclass(frozen=True)
class Element:
    """Takes an element of a list or tuple. Raises PluginError, with its ``place``, if there is
    none."""

    place: str
    position: int

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) <= self.position:
            size = f" of {len(value)}" if isinstance(value, (list, tuple)) else ""
            raise PluginError(
                f"{self.place}: {self.position}: the host gave a {type(value).__name__}{size}, "
                f"which has no element {self.position}"
            )
        return value[self.position]


@dataclass(frozen=True)
class Accuracies:
    """What ``pick`` takes, as accuracies: a number or several. Raises PluginError, with its
    ``place``, for anything else."""

    place: str
    pick: Callable[[Any], Any]

    def __call__(self, value: Any) -> Tuple[float, ...]:
        found = self.pick(value)
        several = found if isinstance(found, (list, tuple)) else (found,)
        try:
            if any(isinstance(one, (str, bytes, bool)) for one in several):
                raise TypeError
            return tuple(float(one) for one in several)
        except (TypeError, ValueError, RuntimeError, OverflowError):  # of several elements, say
            raise PluginError(
                f"{self.place}: must give a number, or a list of numbers; received {shown(found)}"
            ) from None


def metrics_of(place: str, value: Any) -> Metrics:
    """How to read accuracies from what a phase returns. Raises PluginError."""
    if value is None or (isinstance(value, str) and value in METRICS):
        return METRICS[value or "none"]
    if value == "number":
        return Accuracies(place, itself)
    pick = _element(place, value) or _imported(place, value, (*METRICS, "number"))
    return Accuracies(place, pick)


def labels_of(place: str, value: Any) -> Optional[Labels]:
    """How to read labels from a batch. Raises PluginError."""
    if value is None or (isinstance(value, str) and value in LABELS):
        return LABELS[value or "none"]
    return _element(place, value) or _imported(place, value, LABELS)


def policy_of(place: str, value: Any) -> Policy:
    """How to write widths for a phase. Raises PluginError."""
    if isinstance(value, str) and value in POLICIES:
        return POLICIES[value]
    return _imported(place, value, POLICIES)


def _element(place: str, value: Any) -> Optional[Element]:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return Element(place, value)


def _imported(place: str, value: Any, words: Any) -> Callable[..., Any]:
    """The function ``module:function``. Raises PluginError if the module cannot be imported."""
    where = split(value)
    if where is None:
        position = "" if words is POLICIES else "a position (0, 1, ...), "
        raise PluginError(
            f"{place}: must be one of {', '.join(words)}, {position}or module:function; received "
            f"{shown(value)}{did_you_mean(value, words) if isinstance(value, str) else ''}"
        )
    module, function = where
    with importing(f"{place}: {value}", module):
        if not exists(module):
            raise PluginError(f"{place}: {value}: there is no module {module!r} on the import path")
        held = vars(importlib.import_module(module))
    found: Optional[Callable[..., Any]] = held.get(function)
    if not callable(found):
        hint = did_you_mean(function, [name for name, one in held.items() if callable(one)])
        raise PluginError(f"{place}: {value}: {module!r} has no function {function!r}{hint}")
    return found


def split(value: Any) -> Optional[Tuple[str, str]]:
    """``module:function`` as a pair; None if it is not written so."""
    module, _, function = value.partition(":") if isinstance(value, str) else ("", "", "")
    return (module, function) if is_dotted(module) and function.isidentifier() else None


def is_dotted(name: str) -> bool:
    """Whether ``name`` may be that of a module."""
    return all(part.isidentifier() for part in name.split("."))
