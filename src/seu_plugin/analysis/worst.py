"""The most harmful single upsets that a campaign has found. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, NamedTuple

import numpy as np

from ..errors import ConfigError
from ..faults.fault_list import Fault, faults_of
from ..faults.placing import Memory
from ..fields import selected_bits
from .folders import merged
from .strata import place_trial


class Worst(NamedTuple):
    """One trial with a single upset: its id, the bit, the accuracy under it, the ``drop`` in
    percentage points, and the images that got another top-1 class (-1: not counted)."""

    trial: str
    fault: Fault
    accuracy: float
    drop: float
    critical: int


def worst(folder: Path, count: int) -> List[Worst]:
    """The ``count`` single upsets that cost most, the worst first; of those that cost the same,
    the one that changes more images. One bit that several trials upset comes once.

    Raises ConfigError for a campaign without trials of single upsets, or that does not say how
    many words its sites have.
    """
    manifest, golden, rows = merged([folder])
    before = golden.metrics[0]
    alone = [g for g, t in enumerate(rows.table.groups) if t.ber is None and t.placed == 1]
    rows = rows.where(np.isin(rows.group, alone))
    if not len(rows):
        raise ConfigError(
            f"{folder}: has no trial of a single upset: add to its campaign sensitivity: "
            "{by: [layer, bit]} and run it again (what it has is kept)"
        )
    memory, seed = memory_of(manifest, folder), int(manifest["seed"])
    changed = rows.counted("critical") + np.maximum(rows.counted("nan_inf"), 0)
    order = np.lexsort((-changed, rows.metric(0)))
    found: List[Worst] = []
    known = set()
    for i in order.tolist():
        trial = rows[i].trial
        (fault,) = [
            one
            for name, fault_map in place_trial(trial, memory, seed).items()
            for one in faults_of(name, fault_map)
        ]
        if fault in known:
            continue
        known.add(fault)
        accuracy = float(rows.metric(0)[i])
        found.append(Worst(trial.id, fault, accuracy, before - accuracy, int(changed[i])))
        if len(found) == count:
            break
    return found


def memory_of(manifest: Mapping[str, Any], folder: Path) -> Memory:
    """Words and exposed bits of each site. Raises ConfigError for a folder of a version that did
    not write the words, or a site of several widths."""
    identity = manifest["identity"]
    bits = identity["section"].get("bits", "all")
    bits = tuple(bits) if isinstance(bits, list) else bits
    found = {}
    for site, widths in identity["widths"].items():
        if len(widths) > 1 or site not in manifest["words"]:
            why = "several widths" if len(widths) > 1 else "words that its manifest does not count"
            raise ConfigError(f"{folder}: site {site!r} has {why}: run the campaign again")
        for width in widths:
            mask = selected_bits(bits, width)
            found[site] = manifest["words"][site], [b for b in range(width) if mask >> b & 1]
    return found
