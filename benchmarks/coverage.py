"""How often intervals hold the truth: simulated campaigns whose true mean or threshold is known.

    python benchmarks/coverage.py          # simulate: benchmarks/results/coverage.json
    python benchmarks/coverage.py --page   # put that file into docs/statistics*.md

Coverage of 95 % intervals, in %. Widths: means over campaigns; of a mean drop in percentage points,
of a threshold in decades of BER, over the intervals that are bounded on both sides. Unbounded:
campaigns with one that is not. All equal: campaigns whose trials all have one drop, where the
near-normal interval of the mean is the any-law one.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from common import CPU, RESULTS, report
from scipy import special

from seu_plugin.analysis.drops import Drops
from seu_plugin.analysis.images import TwoWay
from seu_plugin.analysis.intervals import Interval
from seu_plugin.analysis.summary import summarize
from seu_plugin.analysis.threshold import Threshold
from seu_plugin.analysis.threshold_search import HIGHEST, LOWEST
from seu_plugin.analysis.trials import Trial, TrialResult, grid
from seu_plugin.campaign.schedule import batches
from seu_plugin.faults.counts import binomial_thresholds
from seu_plugin.faults.population import Kind, Population
from seu_plugin.settings.campaign import GRID, CampaignSettings, Until

Floats = npt.NDArray[np.float64]
Row = Dict[str, Any]

SEED, CONFIDENCE, GOLDEN = 2024, 0.95, 98.0
LOW, HIGH = GOLDEN - 100.0, GOLDEN
TRIALS = (5, 10, 20, 100)
OF_IMAGES = (100, 1000)
MARGIN, FIRST, MOST = 5.0, 20, 320
MAX_DROP, TOLERANCE, NOISE = 1.0, 0.1, 0.3
MEMORY = Population((Kind(10_000, 1, 1),))

MEAN, IMAGES_TOO, UNTIL, THRESHOLD = "mean", "other images too", "until", "threshold"
COLUMNS = (
    "of",
    "law",
    "images",
    "truth",
    "trials",
    "campaigns",
    "any law, %",
    "any width",
    "other images too, %",
    "images width",
    "near normal, %",
    "normal width",
    "unbounded, %",
    "all equal, %",
)


def generator(*names: object) -> np.random.Generator:
    words = [zlib.crc32(str(name).encode()) for name in names]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([SEED, *words])))


class Law(NamedTuple):
    """Of the drop of one fault map, in ``LOW`` ... ``HIGH``; its exact mean."""

    draw: Callable[[np.random.Generator, int], Floats]
    mean: float


def normal(mean: float, sd: float) -> Law:
    """Clipped."""
    low, high = (LOW - mean) / sd, (HIGH - mean) / sd
    inside = special.ndtr(high) - special.ndtr(low)
    tails = LOW * special.ndtr(low) + HIGH * special.ndtr(-high)
    slope = (math.exp(-(low**2) / 2) - math.exp(-(high**2) / 2)) / math.sqrt(2 * math.pi)
    return Law(
        lambda g, n: np.clip(mean + sd * g.standard_normal(n), LOW, HIGH),
        float(tails + mean * inside + sd * slope),
    )


def lognormal(median: float, sigma: float) -> Law:
    """Clipped."""
    cut = (math.log(HIGH) - math.log(median)) / sigma
    below = median * math.exp(sigma**2 / 2) * special.ndtr(cut - sigma)
    return Law(
        lambda g, n: np.minimum(median * np.exp(sigma * g.standard_normal(n)), HIGH),
        float(below + HIGH * special.ndtr(-cut)),
    )


def sometimes(probability: float, drop: float) -> Law:
    """``drop`` with that probability, else 0."""
    return Law(lambda g, n: np.where(g.random(n) < probability, drop, 0.0), probability * drop)


def mixture(share: float, most: Law, low: float, high: float) -> Law:
    """A ``share`` of ``most``, the rest uniform in ``low`` ... ``high``."""
    return Law(
        lambda g, n: np.where(g.random(n) < share, most.draw(g, n), g.uniform(low, high, n)),
        share * most.mean + (1.0 - share) * (low + high) / 2,
    )


RARE = "1 in 33"
LAWS = {
    "normal": normal(5.0, 1.5),
    "lognormal": lognormal(1.0, 1.5),
    RARE: sometimes(1 / 33, 80.0),
    "1 in 100": sometimes(1 / 100, 80.0),
    "mixture": mixture(0.9, normal(0.2, 0.1), 20.0, 90.0),
    "half at chance": sometimes(1 / 2, 88.0),
}


class Tally:
    """Of the intervals of one kind in many campaigns."""

    def __init__(self) -> None:
        self.held: List[bool] = []
        self.widths: List[float] = []

    def add(self, interval: Interval, *truths: float) -> None:
        """A rounding error is no miss."""
        near = [1e-9 * abs(truth) for truth in truths]
        self.held.append(
            all(
                interval.low - error <= truth <= interval.high + error
                for truth, error in zip(truths, near)
            )
        )
        self.widths.append(interval.high - interval.low)

    @property
    def figures(self) -> Tuple[float, Optional[float]]:
        """Coverage in %, mean width of the bounded ones."""
        bounded = [width for width in self.widths if math.isfinite(width)]
        width = round(float(np.mean(bounded)), 4) if bounded else None
        return percent(sum(self.held), len(self.held)), width


def percent(part: int, whole: int) -> float:
    return round(100.0 * part / whole, 3)


def mean_row(name: str, n: int, campaigns: int) -> Row:
    law, g = LAWS[name], generator(MEAN, name, n)
    any_law, near_normal, equal = Tally(), Tally(), 0
    for _ in range(campaigns):
        # Their order does not matter; sorted, those that are alike are found in the cache.
        drops = Drops(tuple(np.sort(law.draw(g, n)).tolist()), GOLDEN)
        any_law.add(drops.any_law(CONFIDENCE), law.mean)
        near_normal.add(drops.normal(CONFIDENCE), law.mean)
        equal += not drops.vary()
    return row(MEAN, name, law.mean, n, any_law, near_normal, equal)


def row(
    of: str,
    law: str,
    truth: object,
    n: float,
    any_law: Tally,
    near_normal: Tally,
    equal: Optional[int] = None,
) -> Row:
    campaigns = len(any_law.held)
    alike = None if equal is None else percent(equal, campaigns)
    unbounded = sum(map(math.isinf, map(max, any_law.widths, near_normal.widths)))
    figures = (*any_law.figures, None, None, *near_normal.figures)
    shares = (percent(unbounded, campaigns), alike)
    return dict(zip(COLUMNS, (of, law, None, truth, n, campaigns, *figures, *shares)))


def until_row(name: str, campaigns: int) -> Row:
    """Looked at as a campaign looks: n grows by half until the any-law interval is narrow."""
    law, g = LAWS[name], generator(UNTIL, name)
    any_law, near_normal, equal, sizes = Tally(), Tally(), 0, []
    for _ in range(campaigns):
        drops = stopped(law.draw(g, MOST).tolist())
        any_law.add(drops.any_law(CONFIDENCE), law.mean)
        near_normal.add(drops.normal(CONFIDENCE), law.mean)
        equal += not drops.vary()
        sizes.append(len(drops.values))
    return row(UNTIL, name, law.mean, float(np.mean(sizes)), any_law, near_normal, equal)


def stopped(values: Sequence[float]) -> Drops:
    """The first of ``values``, as many as the schedule of campaigns asks for."""
    until = Until(margin=MARGIN, max_trials=MOST, guarantee="any_law")
    campaign = CampaignSettings(ber=(1e-3,), trials=FIRST, until=until, max_drop=None)
    golden = TrialResult(grid((1e-3,), 0, 1)[0], (GOLDEN,))
    results: Dict[str, TrialResult] = {}
    for batch in batches(campaign, (1e-3,), {}, golden, results):
        for trial in batch.trials:
            results[trial.id] = TrialResult(trial, (GOLDEN - values[trial.number],))
    return Drops(tuple(values[: len(results)]), GOLDEN)


class Images(NamedTuple):
    """Of images, ``RIGHT`` of which are right at first: the probability that a fault map changes
    that, of shape [maps, images]; its exact mean."""

    chances: Callable[[np.random.Generator, int, int], Floats]
    mean: float


def borderline(share: float, chance: float) -> Images:
    """A ``share`` of the images is changed by each map with probability ``chance``."""
    return Images(
        lambda g, n, m: np.broadcast_to(chance * (g.random(m) < share), (n, m)), share * chance
    )


def spread(a: float, b: float) -> Images:
    """Each image has a probability of its own, Beta(a, b)."""
    return Images(lambda g, n, m: np.broadcast_to(g.beta(a, b, m), (n, m)), a / (a + b))


def severe(offset: float, maps: float, images: float) -> Images:
    """Maps differ in severity and images in sensitivity: logistic in the sum of two normals."""
    z = special.ndtri((np.arange(100_000) + 0.5) / 100_000)
    mean = float(special.expit(offset + math.hypot(maps, images) * z).mean())

    def chances(g: np.random.Generator, n: int, m: int) -> Floats:
        rows, columns = maps * g.standard_normal(n), images * g.standard_normal(m)
        return np.asarray(special.expit(offset + rows[:, None] + columns))

    return Images(chances, mean)


RIGHT = 0.95
IMAGES = {
    "10 % borderline": borderline(0.1, 0.4),
    "2 % borderline": borderline(0.02, 0.5),
    "beta": spread(0.2, 3.8),
    "severity": severe(-4.0, 1.0, 1.5),
}
#: Drops of maps are skewed, and limit the interval: it is near normal.
OF_MAPS = ("severity",)


def images_row(name: str, n: int, m: int, campaigns: int) -> Row:
    """Of the mean drop over all maps and images; the near-normal interval is for the images of the
    campaign alone."""
    law, g = IMAGES[name], generator(IMAGES_TOO, name, n, m)
    truth = 100.0 * (RIGHT - (1.0 - RIGHT)) * law.mean
    both, near_normal, equal = Tally(), Tally(), 0
    for _ in range(campaigns):
        golden = g.random(m) < RIGHT
        changed = g.random((n, m)) < law.chances(g, n, m)
        two_way = TwoWay(golden)
        for one in changed:
            two_way.add(one)
        drops = Drops(tuple(two_way.rows), 100.0 * float(golden.mean()))
        both.add(two_way.interval(drops, CONFIDENCE), truth)
        near_normal.add(drops.normal(CONFIDENCE), truth)
        equal += not drops.vary()
    figures = (None, None, *both.figures, *near_normal.figures)
    shares = (0.0, percent(equal, campaigns))
    return dict(zip(COLUMNS, (IMAGES_TOO, name, m, truth, n, campaigns, *figures, *shares)))


class Curve(NamedTuple):
    """Drops of trials with so many struck cells of ``MEMORY``, told as the BER that makes as many
    on average, given a standard normal value of each trial that is the same at every BER."""

    draw: Callable[[Floats, Floats], Floats]


def scattered(mean: Callable[[Floats], Floats]) -> Curve:
    """Drops scatter normally about the mean, the more the higher it is."""
    return Curve(lambda ber, z: np.clip(mean(ber) * (1.0 + NOISE * z), LOW, HIGH))


def through(*points: Tuple[float, float]) -> Curve:
    """Lines in log-log through points (BER, mean drop)."""
    x, y = np.log10(np.array(points)).T
    return scattered(lambda ber: np.asarray(10.0 ** np.interp(np.log10(ber), x, y)))


def own_cliffs(middle: float, decades: float, drop: float) -> Curve:
    """Each fault map falls at a number of upsets of its own, log-normal about ``middle``."""
    return Curve(lambda ber, z: np.where(z <= np.log10(ber / middle) / decades, drop, 0.0))


CURVES = {
    "steep": through((LOWEST, 1e-9), (2e-6, 1e-4), (1e-4, 0.5), (2e-4, 80.0), (HIGHEST, 80.0)),
    "shallow": through((LOWEST, 0.002), (1e-4, 1.0), (HIGHEST, 8.0)),
    "plateau": through((LOWEST, 1e-4), (1e-4, 0.1), (1e-3, 0.9), (1e-1, 1.1), (HIGHEST, 30.0)),
    "cliff": scattered(lambda ber: np.where(ber >= 1e-3, 80.0, 0.0)),
    "high cliff": scattered(lambda ber: np.where(ber >= 2e-2, 80.0, 0.0)),
    "cliff of each map": own_cliffs(1e-3, 0.5, 80.0),
    "non-monotone": through((LOWEST, 1e-4), (1e-4, 0.1), (6e-4, 4.0), (5e-3, 0.2), (5e-2, 10.0)),
}


@lru_cache(maxsize=1)
def means(curve: Curve) -> Floats:
    """The mean drop of trials with 0, 1, ... struck cells; none are clipped without it."""
    z = special.ndtri((np.arange(1000) + 0.5) / 1000)
    bits = MEMORY.kinds[0].units
    of_each = [float(curve.draw(np.array(k / bits), z).mean()) for k in range(1, bits + 1)]
    return np.array([0.0, *of_each])


def mean_drop(curve: Curve, ber: float) -> float:
    """Of all fault maps, exactly but for the mean over 1,000 quantiles of the scatter."""
    bits = MEMORY.kinds[0].units
    k = np.arange(bits + 1)
    logs = special.gammaln(bits + 1) - special.gammaln(k + 1) - special.gammaln(bits - k + 1)
    chance = np.exp(logs + k * math.log(ber) + (bits - k) * math.log1p(-ber))
    return float(chance @ means(curve))


def crossings(curve: Curve) -> List[float]:
    """BERs at which the mean drop of all fault maps passes ``MAX_DROP``, upwards or downwards."""

    def above(x: float) -> bool:
        return mean_drop(curve, min(10.0**x, HIGHEST)) >= MAX_DROP

    points = np.linspace(-9.0, math.log10(HIGHEST), 801).tolist()
    found = []
    for left, right in zip(points, points[1:]):
        if above(left) != above(right):
            for _ in range(60):
                middle = (left + right) / 2
                left, right = (left, middle) if above(middle) != above(left) else (middle, right)
            found.append(10.0**right)
    return found


@lru_cache(maxsize=4096)
def thresholds(ber: float) -> Tuple[int, npt.NDArray[np.uint64]]:
    least = int(MEMORY.chance(ber) < 1.0)
    first, table = binomial_thresholds(MEMORY.kinds[0].units, ber, least)
    return first, np.array(table, dtype=np.uint64)


def trials(curve: Curve, ber: float, z: Floats, words: npt.NDArray[np.uint64]) -> List[TrialResult]:
    """As a campaign draws them: given that a cell is struck, unless that is certain."""
    first, table = thresholds(ber)
    struck = first + np.searchsorted(table, words, side="right")
    bits = MEMORY.kinds[0].units
    drops = np.where(struck, curve.draw(np.maximum(struck, 1) / bits, z), 0.0)
    conditional = MEMORY.chance(ber) < 1.0
    return [
        TrialResult(Trial(number, ber), (GOLDEN - drop,), struck=((k, k),) if conditional else None)
        for number, (drop, k) in enumerate(zip(drops.tolist(), struck.tolist()))
    ]


def searched(curve: Curve, z: Floats, words: npt.NDArray[np.uint64]) -> Threshold:
    """As a campaign searches for the threshold, from its usual grid on."""
    campaign = CampaignSettings(ber=GRID, trials=len(z), max_drop=MAX_DROP, tolerance=TOLERANCE)
    golden, results = TrialResult(Trial(0), (GOLDEN,)), {}
    for batch in batches(campaign, GRID, {}, golden, results, MEMORY):
        for ber in dict.fromkeys(trial.ber for trial in batch.trials if trial.ber is not None):
            results.update({one.trial.id: one for one in trials(curve, ber, z, words)})
    (found,) = summarize(golden, list(results.values()), campaign, {}, 2.0, MEMORY).thresholds
    return found


def threshold_row(name: str, campaigns: int) -> Row:
    curve, g = CURVES[name], generator(THRESHOLD, name)
    truths = [math.log10(ber) for ber in crossings(curve)]
    any_law, near_normal = Tally(), Tally()
    for _ in range(campaigns):
        words = g.integers(0, 1 << 64, FIRST, dtype=np.uint64)
        found = searched(curve, g.standard_normal(FIRST), words)
        any_law.add(decades(found.any_law_low, found.any_law_high), *truths)
        near_normal.add(decades(found.low, found.high), *truths)
    truth = ", ".join(f"{10.0**x:.3g}" for x in truths)
    return row(THRESHOLD, name, truth, FIRST, any_law, near_normal)


def decades(low: Optional[float], high: Optional[float]) -> Interval:
    return Interval(
        -math.inf if low is None else math.log10(low),
        math.inf if high is None else math.log10(high),
    )


def least(campaigns: int) -> float:
    """Coverage in % that is not yet 3 standard errors below the nominal one."""
    return 100.0 * (CONFIDENCE - 3.0 * math.sqrt(CONFIDENCE * (1.0 - CONFIDENCE) / campaigns))


def held(one: Row) -> bool:
    """Whether the any-law interval keeps what it says, and that of other images does to 93 % where
    images are what limits it."""
    if one["of"] == IMAGES_TOO:
        return one["law"] in OF_MAPS or bool(one["other images too, %"] >= 93.0)
    return bool(one["any law, %"] >= least(one["campaigns"]))


# The page.
DOCS = Path(__file__).resolve().parent.parent / "docs"
COMMAND = "python benchmarks/coverage.py"
ENGLISH = {
    "said": "`{command}`: {campaigns} simulated campaigns a cell ({few} for the threshold), at "
    "95 %. Coverage in %, in parentheses the mean width; **bold**: more than 3 standard errors "
    "below 95.",
    "mean": "Mean drop, widths in percentage points, by the law of the drop of one fault map "
    "(where all trials are equal, the near-normal interval is the any-law one):",
    "until": "`until` (margin 5, {first} to {most} trials, `any_law`), one map in 33 costing 80 "
    "points, at the stop after {trials} trials on average: any law {any_law}, near normal "
    "{near_normal}.",
    "threshold": "Threshold (`max_drop` 1, 20 trials), widths in decades of bounded intervals, by "
    "the mean curve:",
    "of images": "Mean drop over other images too, by how images change, of which {right:.0%} are "
    "right at first; near normal, for these images, is shown to tell what it leaves out:",
    "10 % borderline": "10 % of images change in 40 % of maps",
    "2 % borderline": "2 % of images change in 50 % of maps",
    "beta": "each image by its own chance, Beta(0.2, 3.8)",
    "severity": "maps by severity (skewed), images by sensitivity",
    "images": "{law}; {images:,} images",
    "image kinds": ("other images too", "near normal"),
    "columns": ("law", "mean", "interval"),
    "curves": ("curve", "any law", "near normal", "unbounded, %"),
    "kinds": ("any law", "near normal"),
    "normal": "normal, sd 1.5",
    "lognormal": "lognormal, sigma 1.5, median 1",
    RARE: "1 in 33 costs 80, others 0",
    "1 in 100": "1 in 100 costs 80, others 0",
    "mixture": "90 % near 0.2, 10 % in 20 ... 90",
    "half at chance": "half 88 (chance level), half 0",
    "cliff": "cliff at 1e-3, of all maps",
    "high cliff": "cliff at 2e-2, of all maps",
    "cliff of each map": "cliff of each map at its own BER",
    "non-monotone": "non-monotone, all of its 3 crossings",
}
CHINESE = {
    "said": "`{command}`:每格 {campaigns} 次模拟的 campaign(阈值为 {few} 次),95 %。"
    "数字是覆盖率(%),括号内是平均宽度;**粗体**:比 95 低 3 个标准误差以上。",
    "mean": "平均下降,宽度以百分点计,按单张故障图下降的分布(所有 trial 都相等时,近似正态的区间就是"
    "任意分布的):",
    "until": "`until`(margin 5,{first} 到 {most} 次 trial,`any_law`),每 33 张故障图有一张下降 80 "
    "个百分点,平均在 {trials} 次 trial 后停止;停止时任意分布 {any_law},近似正态 {near_normal}。",
    "threshold": "阈值(`max_drop` 1,20 次 trial),宽度以十倍程计(只计有界的区间),按均值曲线:",
    "of images": "同样适用于其他图像的平均下降,按图像({right:.0%} 原本正确)如何改变的分布;"
    "同时列出只针对这些图像的近似正态区间,以示它遗漏了什么:",
    "10 % borderline": "10 % 的图像在 40 % 的故障图中改变",
    "2 % borderline": "2 % 的图像在 50 % 的故障图中改变",
    "beta": "每张图像各有概率,Beta(0.2, 3.8)",
    "severity": "故障图严重程度不一(偏斜),图像敏感度不一",
    "images": "{law};{images:,} 张图像",
    "image kinds": ("也适用于其他图像", "近似正态"),
    "columns": ("分布", "均值", "区间"),
    "curves": ("曲线", "任意分布", "近似正态", "无界,%"),
    "kinds": ("任意分布", "近似正态"),
    "normal": "正态,标准差 1.5",
    "lognormal": "对数正态,sigma 1.5,中位数 1",
    RARE: "33 张中 1 张下降 80,其余为 0",
    "1 in 100": "100 张中 1 张下降 80,其余为 0",
    "mixture": "90 % 在 0.2 附近,10 % 在 20 ... 90",
    "half at chance": "一半下降 88(随机猜测水平),一半为 0",
    "steep": "陡",
    "shallow": "缓",
    "plateau": "平台",
    "cliff": "悬崖,所有故障图都在 1e-3",
    "high cliff": "悬崖,所有故障图都在 2e-2",
    "cliff of each map": "悬崖,每张故障图在各自的 BER",
    "non-monotone": "非单调,全部 3 个交点",
}
PAGES: Dict[str, Dict[str, Any]] = {"statistics.md": ENGLISH, "statistics.zh-CN.md": CHINESE}
NEAR_NORMAL = ("near normal, %", "normal width")
KINDS = (("any law, %", "any width"), NEAR_NORMAL)
IMAGE_KINDS = (("other images too, %", "images width"), NEAR_NORMAL)


def cell(found: Row, kind: Tuple[str, str]) -> str:
    """Coverage and width."""
    held, width = (found[column] for column in kind)
    text = f"{held:.4g}"
    text = f"**{text}**" if held < least(found["campaigns"]) else text
    return f"{text} (-)" if width is None else f"{text} ({width:.3g})"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    ruled = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in ruled)


def images_table(rows: Sequence[Row], words: Dict[str, Any]) -> str:
    of_images = [
        {**r, "law": words["images"].format(law=words[r["law"]], images=r["images"])}
        for r in rows
        if r["of"] == IMAGES_TOO
    ]
    return by_size(of_images, words, IMAGE_KINDS, words["image kinds"])


def mean_table(rows: Sequence[Row], words: Dict[str, Any]) -> str:
    return by_size([r for r in rows if r["of"] == MEAN], words, KINDS, words["kinds"])


def by_size(
    rows: Sequence[Row],
    words: Dict[str, Any],
    kinds: Sequence[Tuple[str, str]],
    names: Sequence[str],
) -> str:
    found = {(r["law"], r["trials"]): r for r in rows}
    sizes = sorted({n for _, n in found})
    lines: List[List[str]] = []
    for law in dict.fromkeys(law for law, _ in found):
        of_law = [found[law, n] for n in sizes]
        start = (words.get(law, law), f"{of_law[0]['truth']:.3g}")
        for kind, name in zip(kinds, names):
            lines.append([*start, name, *(cell(one, kind) for one in of_law)])
            start = ("", "")
    return table([*words["columns"], *(f"n = {n}" for n in sizes)], lines)


def threshold_table(rows: Sequence[Row], words: Dict[str, Any]) -> str:
    lines: List[List[str]] = []
    for one in (r for r in rows if r["of"] == THRESHOLD):
        name, unbounded = str(words.get(one["law"], one["law"])), f"{one['unbounded, %']:.3g}"
        lines.append([name, *(cell(one, kind) for kind in KINDS), unbounded])
    return table(words["curves"], lines)


def section(rows: Sequence[Row], words: Dict[str, Any]) -> str:
    """What stands between the marks of a page."""
    campaigns = {r["of"]: r["campaigns"] for r in rows}
    stop = next(r for r in rows if r["of"] == UNTIL)
    any_law, near_normal = (cell(stop, kind) for kind in KINDS)
    said = words["said"].format(
        command=COMMAND, campaigns=f"{campaigns[MEAN]:,}", few=f"{campaigns[THRESHOLD]:,}"
    )
    until = words["until"].format(
        first=FIRST,
        most=MOST,
        trials=f"{stop['trials']:.0f}",
        any_law=any_law,
        near_normal=near_normal,
    )
    images = words["of images"].format(right=RIGHT)
    parts = (
        (said, ""),
        (words["mean"], mean_table(rows, words)),
        (until, ""),
        (images, images_table(rows, words)),
        (words["threshold"], threshold_table(rows, words)),
    )
    return "\n".join("\n\n".join(filter(None, part)) + ("" if part[1] else "\n") for part in parts)


def page(text: str, rows: Sequence[Row], words: Dict[str, Any]) -> str:
    """``text`` with what is between the marks made anew."""
    new = f"<!-- coverage -->\n{section(rows, words)}<!-- /coverage -->"
    pattern = r"<!-- coverage -->\n.*?<!-- /coverage -->"
    text, found = re.subn(pattern, lambda _: new, text, flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"{found} pairs of marks <!-- coverage --> and <!-- /coverage -->")
    return text


def write_pages() -> None:
    rows = json.loads((RESULTS / "coverage.json").read_text())["rows"]
    for name, words in PAGES.items():
        path = DOCS / name
        if not path.exists() or "<!-- coverage -->" not in path.read_text(encoding="utf-8"):
            print(f"docs/{name}: no marks")
            continue
        path.write_text(page(path.read_text(encoding="utf-8"), rows, words), encoding="utf-8")


def simulate(campaigns: int, searches: int) -> List[Row]:
    with ProcessPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(threshold_row, name, searches) for name in CURVES]
        cells = [(name, n, m) for name in IMAGES for m in OF_IMAGES for n in TRIALS]
        jobs += [pool.submit(images_row, *cell, campaigns) for cell in cells]
        jobs += [pool.submit(mean_row, name, n, campaigns) for name in LAWS for n in TRIALS]
        jobs.append(pool.submit(until_row, RARE, campaigns))
        return [job.result() for job in jobs]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--campaigns", type=int, default=2000, help="a cell")
    parser.add_argument("--searches", type=int, default=2000, help="a curve, of the threshold")
    parser.add_argument("--page", action="store_true", help="only write the pages")
    given = parser.parse_args()
    if given.page:
        write_pages()
        return
    rows = simulate(given.campaigns, given.searches)
    lines = [[one[column] for column in COLUMNS] for one in rows]
    report("coverage", CPU, "Coverage of 95 % intervals", COLUMNS, lines)
    missed = [one for one in rows if not held(one)]
    if missed:
        cells = "; ".join(f"{r['of']}, {r['law']}, {r['trials']} trials" for r in missed)
        raise SystemExit(f"intervals cover too little: {cells}")


if __name__ == "__main__":
    main()
