"""How exact the rate is: stream v1 against float32 uniforms compared with the BER.

    python benchmarks/exactness.py

z: deviation of the flips from their expectation in standard deviations, over all draws.
Variance ratio: variance of the flips over the binomial one. p-values: chi-square of bit planes,
and of positions in 64 bins. Overlap: bits common to consecutive draws, as z.
"""

from __future__ import annotations

import math
from typing import List, Tuple

import numpy as np
import torch
from common import CPU, report
from scipy import stats

from seu_plugin.faults.fault_map import draw_fault_map
from seu_plugin.faults.seeding import Stream

WIDTH = 4
#: (BER, words of the site, draws)
CASES = (
    (1e-9, 250_000_000, 200),
    (1e-8, 250_000_000, 200),
    (1e-7, 50_000_000, 200),
    (1e-5, 5_000_000, 200),
    (1e-3, 500_000, 200),
    (1e-1, 50_000, 200),
)


def positions(words: int, ber: float, trial: int) -> np.ndarray:
    """Bit positions flipped in one draw, ascending."""
    drawn = draw_fault_map(Stream(2024, f"exactness {ber:g}", trial), words, WIDTH, ber)
    planes = [drawn.index[drawn.mask >> b & 1 == 1] * WIDTH + b for b in range(WIDTH)]
    return np.sort(np.concatenate(planes))


def uniform_p(counts: np.ndarray) -> float:
    return float(stats.chisquare(counts).pvalue) if counts.sum() >= 5 * counts.size else math.nan


def measure(ber: float, words: int, draws: int) -> Tuple[float, ...]:
    bits = words * WIDTH
    flips: List[int] = []
    planes, bins = np.zeros(WIDTH), np.zeros(64)
    neighbours = common = 0
    before = np.empty(0, dtype=np.int64)
    for trial in range(draws):
        hit = positions(words, ber, trial)
        flips.append(hit.size)
        planes += np.bincount(hit % WIDTH, minlength=WIDTH)
        bins += np.bincount(hit * 64 // bits, minlength=64)
        neighbours += int((np.diff(hit) == 1).sum())
        common += np.intersect1d(before, hit, assume_unique=True).size
        before = hit
    expected = draws * bits * ber
    z = (sum(flips) - expected) / math.sqrt(expected * (1 - ber))
    ratio = float(np.var(flips, ddof=1)) / (bits * ber * (1 - ber))
    pairs, both = draws * (bits - 1) * ber**2, (draws - 1) * bits * ber**2
    return (
        ber,
        float(sum(flips)),
        expected,
        z,
        ratio,
        uniform_p(bins),
        uniform_p(planes),
        (neighbours - pairs) / math.sqrt(pairs),
        (common - both) / math.sqrt(both),
    )


def float32_mask(ber: float) -> Tuple[float, ...]:
    """Flips that ``torch.rand(...) < ber`` makes on the CPU, over enough bits to tell."""
    generator = torch.Generator().manual_seed(0)
    chunk, bits, flips = 1 << 24, 0, 0
    for _ in range(max(4, min(240, int(2000 / ber / chunk)))):
        flips += int((torch.rand(chunk, generator=generator) < ber).sum())
        bits += chunk
    expected = bits * ber
    return ber, float(bits), float(flips), expected, flips / expected


def main() -> None:
    columns = (
        "BER",
        "flips",
        "expected",
        "z",
        "variance ratio",
        "p positions",
        "p bit planes",
        "z neighbours",
        "z overlap",
    )
    rows = [measure(*case) for case in CASES]
    report("exactness", CPU, "Stream v1", columns, rows)
    rows = [float32_mask(ber) for ber, _, _ in CASES]
    columns = ("BER", "bits drawn", "flips", "expected", "flips / expected")
    report("exactness_float32", CPU, "float32 uniforms compared with the BER", columns, rows)


if __name__ == "__main__":
    main()
