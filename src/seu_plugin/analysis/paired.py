"""Two campaigns under the same upsets: the difference, paired over fault maps. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Sequence

import numpy as np

from ..errors import ConfigError
from .drops import of_differences
from .folders import merged, population_of
from .intervals import Interval
from .manifest import read_manifest
from .summary import Difference

#: What two campaigns must have in common for one trial number to mean one fault map.
_SAME = (
    *("mode", "encoding", "bits", "layers", "persistence", "memory"),
    *("stuck_at", "asymmetric", "mbu", "targets"),
)


def differences(
    first: Path, second: Path, confidence: float = 0.95, architecture: int = 0
) -> List[Difference]:
    """Differences at every BER that both campaigns have with at least two common trials.

    Raises ConfigError unless the upsets of a trial are the same in both: seed, fault model, widths
    and sites.
    """
    manifests, accuracies = [], []
    for folder in (first, second):
        manifest, golden, rows = merged([folder])
        if architecture >= len(golden.metrics):
            raise ConfigError(f"{folder}: has no architecture {architecture}")
        before, population = golden.metrics[architecture], population_of(manifest)
        table = {0.0: {0: before}}
        for ber, at in rows.by_ber().items():
            # Of a conditional trial: what stands for all fault maps.
            chance = 1.0 if population is None else population.chance(ber)
            values = before - chance * (before - at.metric(architecture))
            table[ber] = dict(zip(at.number.tolist(), values.tolist()))
        manifests.append(manifest)
        accuracies.append(table)
    one, other = (manifest["identity"] for manifest in manifests)
    for what, ours, theirs in (
        ("seed", one["seed"], other["seed"]),
        ("bit widths", one["widths"], other["widths"]),
        *((key, one["section"].get(key), other["section"].get(key)) for key in _SAME),
    ):
        if ours != theirs:
            raise ConfigError(
                f"{first} and {second}: cannot be paired, since {what} is {ours!r} in the one and "
                f"{theirs!r} in the other"
            )
    found = []
    for ber in sorted(accuracies[0].keys() & accuracies[1].keys()):
        numbers = sorted(accuracies[0][ber].keys() & accuracies[1][ber].keys())
        if ber > 0.0 and len(numbers) < 2:
            continue
        a, b = ([values[ber][n] for n in numbers] for values in accuracies)
        found.append(_difference(ber, a, b, confidence))
    if len(found) < 2:
        raise ConfigError(f"{first} and {second}: have no BER with two common trials")
    return found


def paired(first: Path, second: Path) -> bool:
    """Whether one trial number means the same upsets of data bits in both. Not for clusters if
    memory words differ: with check bits among them, cells have other neighbours."""
    manifests = [read_manifest(folder) for folder in (first, second)]
    one, other = (manifest["identity"]["section"] for manifest in manifests)
    if population_of(manifests[0]) != population_of(manifests[1]):
        return False  # what trials were drawn given differs
    return bool(one["mode"] != "mbu" or _layout(one) == _layout(other))


def _layout(section: Mapping[str, Any]) -> List[Any]:
    """The rules that change where data bits lie: not those that copy whole codes."""
    same = (("none", "all"), ("tmr", "all"))
    return [r for r in section.get("protection", ()) if (r["scheme"], r["bits"]) not in same]


def _difference(
    ber: float, first: Sequence[float], second: Sequence[float], confidence: float
) -> Difference:
    paired = [b - a for a, b in zip(first, second)]
    mean = float(np.mean(paired))
    golden = Interval(mean, mean)
    interval = golden if ber == 0.0 else of_differences(paired, 100.0, confidence)
    means = float(np.mean(first)), float(np.mean(second))
    return Difference(ber, len(paired), *means, mean, interval)
