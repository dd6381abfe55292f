"""Pictures of a campaign, as PNG. No torch; matplotlib is imported when a picture is made."""

from __future__ import annotations

import io
from typing import Any, List, Optional, Sequence, Tuple

from ..analysis.columns import Rows
from ..analysis.mission import MissionSummary
from ..analysis.summary import Difference, StratumSummary, Summary
from ..analysis.trials import TrialResult
from ..faults.rates import UNITS

_MEAN, _WORST, _GOLDEN, _THRESHOLD = "#0072B2", "#D55E00", "#444444", "#CC79A7"  # Okabe and Ito
_OUTCOMES = (
    ("masked", "masked", "#009E73"),
    ("tolerable", "changed, same top-1", "#F0E442"),
    ("critical", "top-1 changed", "#D55E00"),
    ("nan_inf", "NaN or Inf", "#000000"),
)


def ber_curve(summary: Summary, results: Sequence[TrialResult], architecture: int = 0) -> bytes:
    """Top-1 accuracy against BER: mean with its intervals (the headline one, drawn strong, is that
    of other images too where it is known), each trial, the worst one, the golden run and the
    threshold."""
    figure, axes = _figure(7.0, 4.5)
    rows = [row for row in summary.bers if row.architecture == architecture]
    golden = summary.golden[architecture]
    bers = [row.ber for row in rows]
    axes.scatter(
        *Rows.of(results).points(architecture),
        s=9,
        color=_MEAN,
        alpha=0.25,
        linewidths=0,
        label="each trial",
    )
    two_way = [i for i in (row.drop_two_way_interval for row in rows) if i is not None]
    images = len(two_way) == len(rows)
    any_law, headline = (
        list(zip(*((golden - i.high, golden - i.low) for i in intervals)))
        for intervals in (
            [row.drop_any_law_interval for row in rows],
            two_way if images else [row.drop_normal_interval for row in rows],
        )
    )
    sure = f"{100 * summary.confidence:g} %"
    for end, label in zip(any_law, (f"{sure} of the mean, any law", None)):
        axes.plot(bers, end, ":", lw=1, color=_MEAN, label=label)
    axes.fill_between(
        bers,
        *headline,
        color=_MEAN,
        alpha=0.3,
        linewidth=0,
        label=f"{sure} of the mean, {'other images too' if images else 'near normal'}",
    )
    axes.plot(bers, [row.mean for row in rows], "o-", ms=4, color=_MEAN, label="mean")
    every = summary.curves[architecture] if summary.curves else ()
    if every:
        means = [golden - point.drop for point in every]
        label = "mean at every BER, from all trials"
        axes.plot([point.ber for point in every], means, ".", ms=2, color=_GOLDEN, label=label)
    alone = len(rows) == 1  # no line shows then, and no band
    axes.plot(
        bers,
        [row.worst for row in rows],
        "--",
        lw=1,
        color=_WORST,
        label="worst trial",
        marker="v" if alone else None,
    )
    if alone:
        for ends, width in ((any_law, 2), (headline, 5)):
            axes.plot(bers * 2, [end[0] for end in ends], "-", lw=width, color=_MEAN, alpha=0.5)
    axes.axhline(golden, color=_GOLDEN, lw=1, ls=":", label=f"golden run, {golden:.2f} %")
    if architecture < len(summary.thresholds):
        threshold = summary.thresholds[architecture]
        if threshold.ber is not None:
            low, high = threshold.headline
            low, high = low or min(bers), high or max(bers)
            axes.axvspan(low, high, color=_THRESHOLD, alpha=0.2, linewidth=0)
            label = f"{threshold.max_drop:g}-point drop at BER {threshold.ber:.2g}, {sure} interval"
            axes.axvline(threshold.ber, color=_THRESHOLD, lw=1.5, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("bit error rate (BER)")
    axes.set_ylabel("top-1 accuracy, %")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="lower left", framealpha=0.9)
    return _png(figure)


def mission_curve(mission: MissionSummary, golden: float) -> bytes:
    """Top-1 accuracy against the time since a scrub (or, of sweeping and without one, against the
    mission's): missions one by one, and their mean with its interval."""
    figure, axes = _figure(7.0, 3.4)
    since = bool(mission.scrubs) and not mission.sweeping
    length = mission.period if since else mission.duration
    unit = next(u for u in reversed(list(UNITS)) if length >= UNITS[u] or u == "s")
    label: Optional[str] = f"{len(mission.paths)} of {mission.missions} missions"
    for times, accuracies in mission.paths:
        at = sorted((time % length / UNITS[unit], one) for time, one in zip(times, accuracies))
        style = "." if since else ".-"  # moments of different periods are of different upsets
        axes.plot(*zip(*at), style, color=_GOLDEN, ms=3, lw=0.6, alpha=0.3, label=label)
        label = None
    known = [one for one in mission.curve if one.interval is not None]
    here = [one.time / UNITS[unit] for one in known]
    ends = [one.interval for one in known if one.interval is not None]
    axes.fill_between(
        here, [i.low for i in ends], [i.high for i in ends], color=_MEAN, alpha=0.25, linewidth=0
    )
    axes.plot(here, [one.accuracy for one in known], "o-", ms=4, color=_MEAN, label="mean")
    axes.axhline(golden, color=_GOLDEN, lw=1, ls=":", label=f"golden run, {golden:.2f} %")
    if mission.max_drop is not None:
        label = f"{mission.max_drop:g}-point drop"
        axes.axhline(golden - mission.max_drop, color=_THRESHOLD, lw=1, label=label)
    axes.set_xlim(0.0, length / UNITS[unit] * 1.01)
    axes.set_xlabel(f"time since the last scrub, {unit}" if since else f"mission time, {unit}")
    axes.set_ylabel("top-1 accuracy, %")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return _png(figure)


def comparison_curves(rows: Sequence[Difference], first: str, second: str) -> bytes:
    """Mean accuracies of two campaigns against BER; below, by how much the second is above the
    first, with the interval over fault maps. ``first``, ``second``: what to call them."""
    figure, axes = _figure(7.0, 5.0)
    axes.remove()
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    golden, faulted = rows[0], rows[1:]
    bers = [row.ber for row in faulted]
    for name, field, color in ((first, "first", _WORST), (second, "second", _MEAN)):
        above.plot(bers, [getattr(r, field) for r in faulted], "o-", ms=4, color=color, label=name)
        above.axhline(getattr(golden, field), color=color, lw=1, ls=":")
    above.plot([], [], ":", color=_GOLDEN, label="golden runs")
    above.set_ylabel("mean top-1 accuracy, %")
    above.legend(fontsize=8, loc="lower left", framealpha=0.9)
    ends = [(r.difference - r.interval.low, r.interval.high - r.difference) for r in faulted]
    below.errorbar(
        bers,
        [r.difference for r in faulted],
        list(zip(*ends)),
        fmt="o-",
        ms=4,
        capsize=3,
        color=_GOLDEN,
    )
    below.axhline(0.0, color="black", lw=0.5)
    below.set_ylabel("second - first, points")
    below.set_xlabel("bit error rate (BER)")
    below.set_xscale("log")
    for each in (above, below):
        each.grid(alpha=0.25)
    return _png(figure)


def outcome_bars(summary: Summary, architecture: int = 0) -> Optional[bytes]:
    """Shares of images by what became of them, for each BER; None if they were not compared."""
    rows = [row for row in summary.bers if row.architecture == architecture and row.outcomes]
    if not rows:
        return None
    figure, axes = _figure(7.0, 0.9 + 0.28 * len(rows))
    left = [0.0] * len(rows)
    for name, label, color in _OUTCOMES:
        shares = [
            100.0 * getattr(row.outcomes, name) / row.outcomes.images if row.outcomes else 0.0
            for row in rows
        ]
        axes.barh(range(len(rows)), shares, left=left, color=color, label=label, height=0.75)
        left = [a + b for a, b in zip(left, shares)]
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels([f"{row.ber:.3g}" for row in rows])
    axes.set_ylabel("BER")
    axes.set_xlabel("images over all trials, %")
    axes.set_xlim(0, 100)
    axes.legend(fontsize=8, ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return _png(figure)


def sensitivity_map(summary: Summary) -> Optional[bytes]:
    """Accuracy drop per upset by site and bit, or bars where strata are of one kind; None
    without a sensitivity study."""
    strata = summary.sensitivity
    if not strata:
        return None
    both = any(s.site is not None for s in strata) and any(s.bit is not None for s in strata)
    return _map(strata) if both else _bars(strata)


def _map(strata: Sequence[StratumSummary]) -> bytes:
    import numpy as np

    sites = list(dict.fromkeys(s.site for s in strata))
    width = 1 + max(s.bit or 0 for s in strata)
    cells: Any = np.full((len(sites), width), np.nan)
    for s in strata:
        cells[sites.index(s.site), s.bit or 0] = s.drop
    figure, axes = _figure(2.5 + 0.62 * width, 1.2 + 0.27 * len(sites))
    bound = float(np.nanmax(np.abs(cells))) or 1.0
    axes.set_facecolor("#eeeeee")  # no such bit
    image = axes.imshow(cells, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound)
    for s in strata:
        row, column = sites.index(s.site), s.bit or 0
        dark = abs(s.drop) > 0.6 * bound
        mark = "*" if s.exhaustive else ""
        axes.text(
            column,
            row,
            f"{s.drop:.2f}{mark}",
            ha="center",
            va="center",
            fontsize=6.5,
            color="white" if dark else "black",
        )
    axes.set_xticks(range(width))
    axes.set_yticks(range(len(sites)))
    axes.set_yticklabels([str(site) for site in sites], fontsize=7)
    axes.set_xlabel("bit position, 0 = least significant  (* every word was tried)")
    figure.colorbar(image, ax=axes, label="accuracy drop per upset, points")
    return _png(figure)


def _bars(strata: Sequence[StratumSummary]) -> bytes:
    figure, axes = _figure(7.0, 1.0 + 0.25 * len(strata))
    labels: List[str] = [_label(s) for s in strata]
    places = range(len(strata))
    axes.barh(places, [s.drop for s in strata], color=_MEAN, height=0.7)
    for place, s in zip(places, strata):
        axes.plot(s.interval, (place, place), color="black", lw=1)
    axes.set_yticks(places)
    axes.set_yticklabels(labels, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0.0, color="black", lw=0.5)
    axes.set_xlabel("accuracy drop per upset, percentage points")
    return _png(figure)


def _label(s: StratumSummary) -> str:
    if s.site is not None:
        return s.site
    return "whole memory" if s.bit is None else f"bit {s.bit}"


def _figure(width: float, height: float) -> Tuple[Any, Any]:
    # Not pyplot: the host's own figures and backend are none of our business.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150)
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()
