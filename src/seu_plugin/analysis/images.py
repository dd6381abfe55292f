"""Images as a second factor beside fault maps: what upsets cost on other images. No torch.

The correctness of image j under fault map i differs from the golden run's by X_ij (1, 0 or -1: a
point of accuracy lost). Maps and images are crossed: each map meets each image. The mean of n maps
and m images has the variance

    V = s2_maps / n + s2_images / m - s2_both / (n m)

with the variances of the maps' means, of the images' means, and of what neither explains (crossed
random effects; Cameron, Gelbach and Miller, J. Bus. Econ. Stat. 29, 2011; Owen, The pigeonhole
bootstrap, Ann. Appl. Stat. 1, 2007).
"""

from __future__ import annotations

import math
from typing import List, Optional, Sequence

import numpy as np

from .drops import Drops
from .intervals import Interval, clopper_pearson, t_quantile
from .packed_bits import Bits, unpacked


class TwoWay:
    """Sums over the X_ij of one BER, map by map, in percentage points of accuracy."""

    def __init__(self, golden: Bits) -> None:
        self._golden = golden
        self._columns = np.zeros(golden.size)
        self._rows: List[float] = []
        self._squares = 0.0
        self.right_to_wrong = 0
        self.wrong_to_right = 0

    def add(self, changed: Bits) -> None:
        """One fault map."""
        lost, won = changed & self._golden, changed & ~self._golden
        x = 100.0 * (lost.astype(np.float64) - won)
        self._columns += x
        self._rows.append(float(x.mean()))
        self._squares += float((x * x).sum())
        self.right_to_wrong += int(lost.sum())
        self.wrong_to_right += int(won.sum())

    def interval(self, drops: Drops, confidence: float) -> Interval:
        """Of the mean drop over other maps and other images, near normal, on the scale of
        ``drops``. Where no image changed, the interval for any law over maps."""
        error = self.standard_error()
        if error is None or error == 0.0:
            return drops.any_law(confidence)
        half = t_quantile(min(len(self._rows), self._golden.size), confidence) * error
        mean, most = float(np.mean(self._rows)), drops.golden
        low, high = max(mean - half, most - 100.0), min(mean + half, most)
        return Interval(drops.chance * low, drops.chance * high)

    def standard_error(self) -> Optional[float]:
        """The root of V; at least that over maps alone. None of fewer than two maps or images."""
        n, m = len(self._rows), self._golden.size
        if n < 2 or m < 2:
            return None
        rows, columns = np.array(self._rows), self._columns / n
        mean = float(rows.mean())
        of_maps = float(rows.var(ddof=1)) / n
        of_images = float(columns.var(ddof=1)) / m
        left = self._squares - m * (rows**2).sum() - n * (columns**2).sum() + n * m * mean**2
        both = max(float(left), 0.0) / ((n - 1) * (m - 1) * n * m)
        return math.sqrt(max(of_maps + of_images - both, of_maps, of_images))


def golden_interval(golden: Bits, confidence: float) -> Interval:
    """Of the golden accuracy in percent, over other images (Clopper and Pearson)."""
    low, high = clopper_pearson(int(golden.sum()), golden.size, confidence)
    return Interval(100.0 * low, 100.0 * high)


def two_way(golden: Bits, changed: Sequence[str]) -> TwoWay:
    """From the rows of the trials at one BER."""
    found = TwoWay(golden)
    for one in changed:
        found.add(unpacked(one, golden.size))
    return found
