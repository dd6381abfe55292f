"""Images as a second factor beside fault maps: what upsets cost on other images. No torch.

The score of image j (1 where it is classified right, 0 where not) falls by X_ij under fault map i.
Maps and images are crossed: each map meets each image. The mean of n maps and m images has the
variance

    V = s2_maps / n + s2_images / m - s2_both / (n m)

with the variances of the maps' means, of the images' means, and of what neither explains (crossed
random effects; Cameron, Gelbach and Miller, J. Bus. Econ. Stat. 29, 2011; Owen, The pigeonhole
bootstrap, Ann. Appl. Stat. 1, 2007). A few borderline images may carry all of s2_images, which is
then known as badly as from a few images: it has 2 m / (kurtosis - 1) degrees of freedom, by the
variance of a sample variance (Kenney and Keeping, Mathematics of Statistics, 1951), not m - 1.
"""

from __future__ import annotations

import math
from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from ..errors import ConfigError
from .any_law import any_law_of
from .columns import Rows
from .drops import Drops
from .intervals import Interval, clopper_pearson, t_quantile
from .packed_bits import Bits, Scores, as_scores, faulted, unpacked, unpacked_bits
from .trials import TrialResult

#: Fewer images that changed say nothing of how images scatter.
_FEWEST = 2
#: Percentage points by which images may miss the accuracy of a row.
_NEAR = 0.02
#: Bits that are unpacked at a time.
_BITS = 1 << 22


class TwoWay:
    """Sums over the X_ij of one BER, map by map, in percentage points of accuracy.

    ``right_to_wrong`` and ``wrong_to_right``: images of all maps that became so; None of scores
    other than 0 and 1.
    """

    def __init__(self, golden: Scores) -> None:
        self._golden, self._before = golden, as_scores(golden)
        self._columns = np.zeros(golden.size)
        self.rows: List[float] = []  # means over images, by map
        self._squares = 0.0
        whole = golden.dtype == np.bool_
        self.right_to_wrong: Optional[int] = 0 if whole else None
        self.wrong_to_right: Optional[int] = 0 if whole else None

    def add(self, changed: Scores) -> None:
        """One fault map: what it changed, as words of the golden run's and its own."""
        x = 100.0 * (self._before - as_scores(faulted(self._golden, changed)))
        self._columns += x
        self.rows.append(float(x.mean()))
        self._squares += float((x * x).sum())
        if changed.dtype != np.bool_:
            self.right_to_wrong = self.wrong_to_right = None
        if self.right_to_wrong is not None and self.wrong_to_right is not None:
            self.right_to_wrong += int((x > 0.0).sum())
            self.wrong_to_right += int((x < 0.0).sum())

    def add_bits(self, changed: Bits) -> None:
        """Several fault maps, one a row, of images that are right or wrong: sums of whole numbers,
        so the same as of one after the other."""
        assert self._golden.dtype == np.bool_
        lost, won = changed & self._golden, changed & ~self._golden
        self._columns += 100.0 * (lost.sum(axis=0) - won.sum(axis=0))
        of_maps = lost.sum(axis=1) - won.sum(axis=1)
        self.rows += (100.0 * of_maps / self._golden.size).tolist()
        self._squares += 10_000.0 * float(changed.sum())
        if self.right_to_wrong is not None and self.wrong_to_right is not None:
            self.right_to_wrong += int(lost.sum())
            self.wrong_to_right += int(won.sum())

    def interval(self, drops: Drops, confidence: float) -> Interval:
        """Of the mean drop over other maps and other images, near normal, on the scale of
        ``drops``. Where fewer than two images changed, which says nothing of how images scatter,
        or all maps gave the same drop, from the interval over maps (for any law, where these are
        equal) and that for any law over images, as independent errors."""
        mean, most = float(np.mean(self.rows)), drops.golden
        if self.scattered(drops):
            error = self.standard_error()
            below = above = t_quantile(1.0 + self.freedom(), confidence) * error
        else:
            below, above = self._apart(drops, confidence)
        low, high = max(mean - below, most - 100.0), min(mean + above, most)
        return Interval(drops.chance * low, drops.chance * high)

    def scattered(self, drops: Drops) -> bool:
        """Whether maps and images show how they scatter."""
        return drops.vary() and int(np.count_nonzero(self._columns)) >= _FEWEST

    def _apart(self, drops: Drops, confidence: float) -> Interval:
        """Distances of the ends from the mean."""
        mean = float(np.mean(self.rows))
        of_maps = Drops(drops.values, drops.golden).normal(confidence)
        of_images = any_law_of(self._columns / len(self.rows), -100.0, 100.0, confidence)
        ends = (of_maps, of_images)
        below, above = (math.hypot(*(end[i] - mean for end in ends)) for i in (0, 1))
        return Interval(below, above)

    def freedom(self) -> float:
        """Degrees of freedom of :meth:`standard_error`: of maps or images, whichever are fewer."""
        n, m = len(self.rows), self._golden.size
        off = self._columns - self._columns.mean()
        squares = float((off**2).sum())
        if squares == 0.0:
            return float(min(n, m) - 1)
        more = m * float((off**4).sum()) / squares**2 - 1.0  # the kurtosis less 1
        of_images = 2.0 * m / more if more > 0.0 else math.inf
        return max(min(n - 1.0, m - 1.0, of_images), 1.0)

    def standard_error(self) -> float:
        """The root of V; at least that over maps alone. Needs two maps and two images."""
        n, m = len(self.rows), self._golden.size
        rows, columns = np.array(self.rows), self._columns / n
        mean = float(rows.mean())
        of_maps = float(rows.var(ddof=1)) / n
        of_images = float(columns.var(ddof=1)) / m
        left = self._squares - m * (rows**2).sum() - n * (columns**2).sum() + n * m * mean**2
        both = max(float(left), 0.0) / ((n - 1) * (m - 1) * n * m)
        return math.sqrt(max(of_maps + of_images - both, of_maps, of_images))


def golden_interval(golden: Scores, confidence: float) -> Interval:
    """Of the golden accuracy in percent, over other images: Clopper and Pearson's, or of scores
    other than 0 and 1 the one that holds for any law."""
    if golden.dtype != np.bool_:
        steps = golden >> 8, -(-golden.astype(np.int64) >> 8)  # down and up: few are different
        scores = [100.0 * one.astype(np.float64) / 256.0 for one in steps]
        ends = [any_law_of(one, 0.0, 100.0, confidence) for one in scores]
        return Interval(ends[0].low, ends[1].high)
    low, high = clopper_pearson(int(golden.sum()), golden.size, confidence)
    return Interval(100.0 * low, 100.0 * high)


def golden_scores(golden: TrialResult) -> Optional[List[Scores]]:
    """For each architecture, the images' scores in the golden run; None: not known. Raises
    ConfigError for damaged ones."""
    if golden.right is None or golden.images is None:
        return None
    try:
        return [unpacked(one, golden.images) for one in golden.right]
    except ValueError as error:
        raise ConfigError(f"the golden run: right: {error}") from None


def two_way(golden: Scores, changed: Sequence[str]) -> TwoWay:
    """From the rows of the trials at one BER."""
    found = TwoWay(golden)
    several = max(_BITS // max(golden.size, 1), 1)
    for start in range(0, len(changed), several):
        texts = changed[start : start + several]
        bits = unpacked_bits(texts, golden.size) if golden.dtype == np.bool_ else None
        if bits is not None:
            found.add_bits(bits)
            continue
        for one in texts:
            found.add(unpacked(one, golden.size))
    return found


def two_way_by_ber(
    by_ber: Mapping[float, Sequence[TrialResult]], architecture: int, golden: Optional[Scores]
) -> Dict[float, TwoWay]:
    """At each BER where the images of all trials are known, two of each or more. Raises ConfigError
    for rows that are damaged, or whose images do not make the accuracy."""
    found: Dict[float, TwoWay] = {}
    if golden is None or golden.size < 2:
        return found
    for ber, results in by_ber.items():
        one = two_way_of(Rows.of(results), architecture, golden)
        if one is not None:
            found[ber] = one
    return found


def two_way_of(rows: Rows, architecture: int, golden: Scores) -> Optional[TwoWay]:
    """Of the trials at one BER; None unless the images of all are known, of two or more."""
    changed = [one[architecture] for one in rows.rare("changed") if one is not None]
    if len(changed) < max(len(rows), 2):
        return None
    at = f"a trial at BER {float(rows.ber[0])!r}: changed:"
    try:
        found = two_way(golden, changed)
    except ValueError as error:
        raise ConfigError(f"{at} {error}") from None
    wanted = 100.0 * float(as_scores(golden).mean()) - rows.metric(architecture)
    if (np.abs(np.array(found.rows) - wanted) > _NEAR).any():
        raise ConfigError(f"{at} does not make the accuracy of its row")
    return found


def intervals(
    two_ways: Mapping[float, TwoWay], drops: Mapping[float, Drops], confidence: float
) -> Optional[Dict[float, Interval]]:
    """At each BER of ``drops``; None unless images are known at all of them."""
    if not drops or two_ways.keys() != drops.keys():
        return None
    return {ber: two_ways[ber].interval(one, confidence) for ber, one in drops.items()}
