"""Whether what one half of the test images says holds on the other half.

    python benchmarks/halves.py results/digits [--halvings 20]

The images of a campaign whose correctness is known are halved at random. At each BER the two-way
interval of one half is compared with the mean drop on the other. That is an estimate, too, so that
the difference of both is to lie within the root of the sum of their squared half-widths in 95 % of
cases, and within one half's own interval less often. Maps are the same in both halves.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
from common import CPU, report

from seu_plugin.analysis.drops import Drops
from seu_plugin.analysis.folders import merged, population_of
from seu_plugin.analysis.images import TwoWay
from seu_plugin.analysis.intervals import Interval
from seu_plugin.analysis.packed_bits import Bits, unpacked


def said(right: Bits, changed: List[Bits], half: Bits, chance: float) -> Tuple[float, Interval]:
    """Mean drop and two-way interval of some of the images."""
    two, golden = TwoWay(right[half]), right[half]
    for one in changed:
        two.add(one[half])
    before = 100.0 * float(golden.mean())
    values = tuple(before - 100.0 * float((golden ^ one[half]).mean()) for one in changed)
    drops = Drops(values, before, chance, True)
    return drops.mean, two.interval(drops, 0.95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--halvings", type=int, default=20)
    options = parser.parse_args()
    manifest, golden, rows = merged([options.folder])
    assert golden.right is not None and golden.images is not None
    population = population_of(manifest)
    right = unpacked(golden.right[0], golden.images)
    by_ber: Dict[float, List[Bits]] = {}
    for row in rows:
        if row.trial.ber is not None and row.changed is not None:
            by_ber.setdefault(row.trial.ber, []).append(unpacked(row.changed[0], right.size))
    generator = np.random.Generator(np.random.Philox(1))
    found = []
    for ber in sorted(by_ber):
        chance = 1.0 if population is None else population.chance(ber)
        inside = both = 0
        for _ in range(options.halvings):
            half = np.zeros(right.size, dtype=np.bool_)
            half[generator.permutation(right.size)[: right.size // 2]] = True
            (one, i), (other, j) = (said(right, by_ber[ber], h, chance) for h in (half, ~half))
            inside += i.low <= other <= i.high
            widths = [(interval.high - interval.low) / 2 for interval in (i, j)]
            both += abs(one - other) <= math.hypot(*widths)
        found.append((ber, options.halvings, inside, both))
    columns = ("BER", "halvings", "other half inside", "halves agree")
    report("halves", CPU, "One half of the images against the other", columns, found)


if __name__ == "__main__":
    main()
