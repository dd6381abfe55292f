"""Two campaigns side by side: the difference, over pairs of trials of one number. No torch.

Trials of one number are the same upsets in both where seed, fault model, widths and sites are the
same, so that what the upsets have in common cancels. Where they are not, the trials are still pairs
of which each is independent of every other, so that the intervals of the mean difference hold
whatever the two have in common: they are only wider.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import ConfigError
from ..faults.population import Population
from .drops import Differences
from .folders import merged, population_of
from .intervals import Interval
from .summary import Difference

#: What two campaigns must have in common, besides seed, widths and sampling, for one trial number
#: to mean one fault map.
_SAME = (
    *("mode", "encoding", "bits", "layers", "persistence", "memory"),
    *("stuck_at", "asymmetric", "mbu", "targets"),
)


class Comparison(NamedTuple):
    """``rows``: that of the golden runs (``ber`` 0), then one for each BER that both campaigns have
    with at least two common trials. ``differ``: what makes trial n other upsets of data bits in the
    one than in the other, or other images, each as ``name: of the first / of the second``; nothing
    where the two are paired over fault maps."""

    rows: List[Difference]
    differ: List[str]


class Side(NamedTuple):
    """One campaign. ``values``: mean accuracies of all fault maps in percent, by BER and trial
    number, each in the range that ``ends`` has for its BER."""

    manifest: Mapping[str, Any]
    population: Optional[Population]
    images: Optional[int]
    bits: int
    golden: float
    values: Dict[float, Dict[int, float]]
    ends: Dict[float, Interval]


def compared(
    first: Path, second: Path, confidence: float = 0.95, architecture: int = 0
) -> Comparison:
    """Raises ConfigError if the two have no BER with two common trials."""
    one, other = (side_of(folder, architecture) for folder in (first, second))
    rows = [_golden(one.golden, other.golden)]
    for ber in sorted(one.values.keys() & other.values.keys()):
        numbers = sorted(one.values[ber].keys() & other.values[ber].keys())
        if len(numbers) < 2:
            continue
        a, b = (np.array([at.values[ber][n] for n in numbers]) for at in (one, other))
        ends = one.ends[ber], other.ends[ber]
        limits = ends[1].low - ends[0].high, ends[1].high - ends[0].low
        paired = Differences(tuple((b - a).tolist()), *limits)
        means = float(a.mean()), float(b.mean()), float((b - a).mean())
        intervals = paired.normal(confidence), paired.any_law(confidence)
        rows.append(Difference(ber, len(numbers), *means, *intervals))
    if len(rows) < 2:
        raise ConfigError(f"{first} and {second}: have no BER with two common trials")
    return Comparison(rows, differing(one, other))


def side_of(folder: Path, architecture: int) -> Side:
    """Of the campaign in ``folder``. Raises ConfigError if it has no such architecture."""
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
    return Side(manifest, population, golden.images, golden.bits, before, values, ends)


def differing(first: Side, second: Side) -> List[str]:
    """What makes trial n other upsets in the one than in the other, as ``Comparison.differ``."""
    one, other = first.manifest["identity"], second.manifest["identity"]
    mine, theirs = one["section"], other["section"]
    pairs: List[Tuple[str, Any, Any]] = [("seed", one["seed"], other["seed"])]
    pairs += [(key, mine.get(key), theirs.get(key)) for key in _SAME]
    if one["widths"] != other["widths"]:
        pairs.append(("bit widths", *_told(one["widths"], other["widths"])))
    pairs.append(("words", *_words(first, second)))
    pairs.append(("sampling", _sampling(first.population), _sampling(second.population)))
    if "mbu" in (mine["mode"], theirs["mode"]):
        # With check bits among them, cells have other neighbours.
        pairs.append(("protection", _layout(mine), _layout(theirs)))
    if None not in (first.images, second.images):
        pairs.append(("images", first.images, second.images))
    differ = [pair for pair in pairs if pair[1] != pair[2]]
    if not differ and first.population != second.population:
        # What one protection leaves is dangerous, and another does not.
        differ = [("drawn given", _units(first.population), _units(second.population))]
    return [f"{name}: {a} / {b}" for name, a, b in differ]


def _words(first: Side, second: Side) -> Tuple[str, str]:
    """Of the first site that has another number in the one; of folders that do not say, stored
    bits."""
    one, other = first.manifest["words"], second.manifest["words"]
    if not one or not other:
        return f"{first.bits:,} stored bits", f"{second.bits:,} stored bits"
    for site in one:
        if one[site] != other.get(site, one[site]):
            return f"{one[site]:,} in {site}", f"{other[site]:,}"
    return "", ""


def _sampling(population: Optional[Population]) -> str:
    return "plain" if population is None else "conditional"


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


def _units(population: Optional[Population]) -> str:
    if population is None:
        return "anything"
    kinds = (f"{k.least} of {k.cells} cells in one of {k.units} units" for k in population.kinds)
    return ", ".join(kinds) + f" at {population.factor:g} x BER"


def _layout(section: Mapping[str, Any]) -> List[Any]:
    """The rules that change where data bits lie: not those that copy whole codes."""
    same = (("none", "all"), ("tmr", "all"))
    return [r for r in section.get("protection", ()) if (r["scheme"], r["bits"]) not in same]
