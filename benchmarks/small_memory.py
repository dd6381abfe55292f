"""Campaigns over a memory of 12 bits whose every map is enumerated: is the exact drop covered?

    python benchmarks/small_memory.py [--campaigns 1000]

In each fault model and under each protection, at BERs from 1e-15 to 0.5: campaigns of 20 trials,
the share of them whose interval for any law holds the exact expected drop, and the relative
standard error of their means. The memory and its costs are those of
tests/src/faults/test_conditional.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
from common import CPU, report

from seu_plugin.analysis.drops import Drops

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "src" / "faults"))
import test_conditional as small  # type: ignore[import-not-found]

TRIALS = 20
BERS = (1e-15, 1e-9, 1e-6, 1e-3, 0.03, 0.5)


def costs(settings: Any, ber: float, campaigns: int) -> Tuple[List[Tuple[float, ...]], float]:
    """Drops of the trials of each campaign, and the probability that they are drawn given."""
    drawn = [small.memory(settings, seed) for seed in range(campaigns)]
    values = [
        tuple(
            float(small.COST[small.pattern(one.draw(ber, trial).maps["a"])])
            for trial in range(TRIALS)
        )
        for one in drawn
    ]
    return values, drawn[0].population.chance(ber)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaigns", type=int, default=1000)
    campaigns = parser.parse_args().campaigns
    rows = []
    for name, (settings, exact) in small.CASES.items():
        for ber in BERS:
            values, chance = costs(settings, ber, campaigns)
            truth = exact(ber)
            drops = [Drops(one, 95.0, chance, True) for one in values]
            ends = [one.any_law(0.95) for one in drops]
            covered = float(np.mean([low <= truth <= high for low, high in ends]))
            means = np.array([one.mean for one in drops])
            error = float(means.std() / abs(truth))
            rows.append((name, ber, chance, truth, covered, error))
            print(*rows[-1], flush=True)
    columns = ("memory", "BER", "chance", "exact drop", "covered", "relative standard error")
    report("small_memory", CPU, f"{campaigns} campaigns of {TRIALS} trials", columns, rows)


if __name__ == "__main__":
    main()
