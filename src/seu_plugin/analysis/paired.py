"""Two campaigns side by side: the difference, over pairs of trials of one number. No torch.

Trials of one number are the same upsets in both where seed, fault model, widths and sites are the
same, so that what the upsets have in common cancels. Where they are not, the trials are still pairs
of which each is independent of every other, so that the intervals of the mean difference hold
whatever the two have in common: they are only wider.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

import numpy as np

from ..errors import ConfigError
from ..faults.population import Population
from .drops import Differences
from .folders import merged, population_of
from .intervals import Interval
from .manifest import read_manifest
from .summary import Difference

#: What two campaigns must have in common, besides seed, widths and sampling, for one trial number
#: to mean one fault map.
_SAME = (
    *("mode", "encoding", "bits", "layers", "persistence", "memory"),
    *("stuck_at", "asymmetric", "mbu", "targets"),
)


class _Means(NamedTuple):
    """Of one campaign: mean accuracies of all fault maps in percent, by BER and trial number, each
    in the range that ``ends`` has for its BER."""

    golden: float
    values: Dict[float, Dict[int, float]]
    ends: Dict[float, Interval]


def differences(
    first: Path, second: Path, confidence: float = 0.95, architecture: int = 0
) -> List[Difference]:
    """Differences at every BER that both campaigns have with at least two common trials, after that
    of the golden runs (``ber`` 0). Raises ConfigError if they have none in common."""
    one, other = (_means(folder, architecture) for folder in (first, second))
    found = [_golden(one.golden, other.golden)]
    for ber in sorted(one.values.keys() & other.values.keys()):
        numbers = sorted(one.values[ber].keys() & other.values[ber].keys())
        if len(numbers) < 2:
            continue
        a, b = (np.array([at.values[ber][n] for n in numbers]) for at in (one, other))
        ends = one.ends[ber], other.ends[ber]
        limits = ends[1].low - ends[0].high, ends[1].high - ends[0].low
        paired = Differences(tuple((b - a).tolist()), *limits)
        found.append(
            Difference(
                ber,
                len(numbers),
                float(a.mean()),
                float(b.mean()),
                float((b - a).mean()),
                paired.normal(confidence),
                paired.any_law(confidence),
            )
        )
    if len(found) < 2:
        raise ConfigError(f"{first} and {second}: have no BER with two common trials")
    return found


def differing(first: Path, second: Path) -> List[str]:
    """What makes trial n other upsets of data bits in the one campaign than in the other, or other
    images, each as ``name: of the first / of the second``; nothing where the two are paired."""
    manifests = [read_manifest(folder) for folder in (first, second)]
    one, other = (manifest["identity"] for manifest in manifests)
    mine, theirs = one["section"], other["section"]
    pairs: List[Tuple[str, Any, Any]] = [("seed", one["seed"], other["seed"])]
    pairs += [(key, mine.get(key), theirs.get(key)) for key in _SAME]
    widths = one["widths"], other["widths"]
    if widths[0] != widths[1]:
        pairs.append(("bit widths", *_told(*widths)))
    elif population_of(manifests[0]) != population_of(manifests[1]):
        # What trials were drawn given.
        one_drawn, other_drawn = map(_drawn, manifests)
        pairs.append(("memory that trials are drawn given", one_drawn, other_drawn))
    if "mbu" in (mine["mode"], theirs["mode"]) and _layout(mine) != _layout(theirs):
        # With check bits among them, cells have other neighbours.
        pairs.append(("protection", _layout(mine), _layout(theirs)))
    return [f"{name}: {a} / {b}" for name, a, b in pairs if a != b]


def _means(folder: Path, architecture: int) -> _Means:
    manifest, golden, rows = merged([folder])
    if architecture >= len(golden.metrics):
        raise ConfigError(f"{folder}: has no architecture {architecture}")
    before, population = golden.metrics[architecture], population_of(manifest)
    values, ends = {}, {}
    for ber, at in rows.by_ber().items():
        # Of a conditional trial: what stands for all fault maps.
        chance = 1.0 if population is None else population.chance(ber)
        means = before - chance * (before - at.metric(architecture))
        values[ber] = dict(zip(at.number.tolist(), means.tolist()))
        ends[ber] = Interval(before - chance * before, before + chance * (100.0 - before))
    return _Means(before, values, ends)


def _golden(first: float, second: float) -> Difference:
    nothing = Interval(second - first, second - first)
    return Difference(0.0, 1, first, second, second - first, nothing, nothing)


def _told(one: Mapping[str, List[int]], other: Mapping[str, List[int]]) -> Tuple[str, str]:
    """Widths in as many words as tell them apart: of all sites, or of the first that differs."""
    every = [sorted({n for each in widths.values() for n in each}) for widths in (one, other)]
    if one.keys() == other.keys() and every[0] == every[1]:
        site = next(site for site in one if one[site] != other[site])
        return f"{_bits(one[site])} in {site}", _bits(other[site])
    sites = [f" in {len(each)} sites" * (one.keys() != other.keys()) for each in (one, other)]
    return _bits(every[0]) + sites[0], _bits(every[1]) + sites[1]


def _bits(widths: List[int]) -> str:
    return "/".join(map(str, widths)) + (" bit" if widths == [1] else " bits")


def _drawn(manifest: Mapping[str, Any]) -> str:
    population = population_of(manifest)
    return "plain" if population is None else _units(population)


def _units(population: Population) -> str:
    kinds = ", ".join(f"{k.units} of {k.cells} cells" for k in population.kinds)
    return f"{kinds} at {population.factor:g} x BER"


def _layout(section: Mapping[str, Any]) -> List[Any]:
    """The rules that change where data bits lie: not those that copy whole codes."""
    same = (("none", "all"), ("tmr", "all"))
    return [r for r in section.get("protection", ()) if (r["scheme"], r["bits"]) not in same]
