"""What a host looks like from outside: which of its functions are phases, how to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .contract import BitWidths, PluginError
from .spelling import did_you_mean

#: What a phase may be.
PHASES = ("train", "validate", "calibrate", "search")


def no_metrics(value: Any) -> Tuple[float, ...]:
    return ()


def top1_per_architecture(value: Any) -> Tuple[float, ...]:
    """RFQuant's ``validate`` returns a list of top-1 accuracies (process.py, last line)."""
    if not isinstance(value, (list, tuple)):
        return ()
    try:
        return tuple(float(v) for v in value)
    except (TypeError, ValueError, OverflowError):  # a fork's own values are no metrics here
        return ()


def second_of_pair(batch: Any) -> Any:
    """RFQuant's loaders yield (inputs, targets) (process.py, ``_eval``)."""
    return batch[1] if isinstance(batch, (list, tuple)) and len(batch) == 2 else None


def as_predefined_architectures(widths: BitWidths) -> List[Tuple[List[int], List[int]]]:
    """RFQuant's ``eval_predefined_arch``: a list of (weight widths, activation widths)."""
    return [(list(widths.weights), list(widths.activations))]


@dataclass(frozen=True)
class PhaseFunction:
    """A host function that is a phase.

    ``model`` and ``config`` name its parameters of that meaning (``config`` None: it has none);
    ``policy`` names the parameter that takes the widths, written by ``write_policy``; ``data`` the
    one that yields batches, of which ``read_labels`` takes the labels (None: they are not known).

    Raises PluginError for a phase that is none of ``PHASES``.
    """

    phase: str
    module: str
    function: str
    model: str = "model"
    config: Optional[str] = "configs"
    policy: Optional[str] = None
    required: bool = True
    read_metrics: Callable[[Any], Tuple[float, ...]] = no_metrics
    write_policy: Callable[[BitWidths], Any] = as_predefined_architectures
    data: Optional[str] = None
    read_labels: Optional[Callable[[Any], Any]] = second_of_pair

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise PluginError(
                f"phase must be one of {', '.join(PHASES)}; received {self.phase!r}"
                f"{did_you_mean(str(self.phase), PHASES)}"
            )

    def parameters(self) -> Mapping[str, str]:
        """The function's parameters that must be there, by the field that names them."""
        named = {f: getattr(self, f) for f in ("model", "config", "policy", "data")}
        return {field: name for field, name in named.items() if name is not None}


@dataclass(frozen=True)
class HostProfile:
    """A host: its phases, the function that reads its configuration and the one that builds
    its quantized model (as ``(module, function)``).

    Without ``read_config``, plugins learn of the configuration from the first phase, so that each
    but ``calibrate``, which runs inside another, must have it; without ``build_model``, they see
    the model there for the first time. Raises PluginError for what contradicts itself.
    """

    name: str
    phases: Tuple[PhaseFunction, ...]
    read_config: Optional[Tuple[str, str]] = None
    build_model: Optional[Tuple[str, str]] = None

    def __post_init__(self) -> None:
        if not self.phases:
            raise PluginError("phases: must name at least one function of the host")
        places = [(phase.module, phase.function) for phase in self.phases]
        places += [place for place in (self.read_config, self.build_model) if place is not None]
        for place in places:
            if places.count(place) > 1:
                raise PluginError(f"{':'.join(place)} is named for more than one purpose")
        for phase in self.phases:
            if self.read_config is None and phase.config is None and phase.phase != "calibrate":
                raise PluginError(
                    f"{phase.phase}: config: must name a parameter of {phase.module}."
                    f"{phase.function}, since there is no read_config"
                )

    def modules(self) -> Mapping[str, bool]:
        """Names of the modules to instrument, and whether the host must have them."""
        found = {place[0]: True for place in (self.read_config, self.build_model) if place}
        for phase in self.phases:
            found[phase.module] = phase.required or found.get(phase.module, False)
        return found

    def functions(self) -> Mapping[str, Mapping[str, str]]:
        """By module, its functions that are named here, with the key or the phase of each."""
        found: Dict[str, Dict[str, str]] = {name: {} for name in self.modules()}
        for key, place in (("read_config", self.read_config), ("build_model", self.build_model)):
            if place is not None:
                found[place[0]][place[1]] = key
        for phase in self.phases:
            found[phase.module][phase.function] = phase.phase
        return found


#: 1hunters/retraining-free-quantization, commit 54b2b09.
RFQUANT = HostProfile(
    name="rfquant",
    phases=(
        PhaseFunction("train", "process", "train"),
        PhaseFunction(
            "validate",
            "process",
            "validate",
            policy="eval_predefined_arch",
            read_metrics=top1_per_architecture,
            data="data_loader",
        ),
        PhaseFunction("calibrate", "util.utils", "calibrate_batchnorm_state", config=None),
        PhaseFunction("search", "util.greedy_search", "search", config="cfgs", required=False),
    ),
    read_config=("util.config", "get_config"),
    build_model=("quan.utils", "replace_module_by_names"),
)
