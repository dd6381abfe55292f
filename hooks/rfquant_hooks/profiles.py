"""What a host looks like from outside: which of its functions are phases, how to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Tuple

from .contract import BitWidths


def no_metrics(value: Any) -> Tuple[float, ...]:
    return ()


def top1_per_architecture(value: Any) -> Tuple[float, ...]:
    """RFQuant's ``validate`` returns a list of top-1 accuracies (process.py, last line)."""
    if not isinstance(value, (list, tuple)):
        return ()
    try:
        return tuple(float(v) for v in value)
    except (TypeError, ValueError):  # a fork that returns something else has no metrics here
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
    one that yields batches, of which ``read_labels`` takes the labels.
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
    read_labels: Callable[[Any], Any] = second_of_pair


@dataclass(frozen=True)
class HostProfile:
    """A host: its phases, the function that reads its configuration and the one that builds
    its quantized model (as ``(module, function)``)."""

    name: str
    phases: Tuple[PhaseFunction, ...]
    read_config: Tuple[str, str]
    build_model: Tuple[str, str]

    def modules(self) -> Mapping[str, bool]:
        """Names of the modules to instrument, and whether the host must have them."""
        found = {self.read_config[0]: True, self.build_model[0]: True}
        for phase in self.phases:
            found[phase.module] = phase.required or found.get(phase.module, False)
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
