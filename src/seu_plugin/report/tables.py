"""Tables and lines for people: what upsets cost. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence

from rich.markup import escape
from rich.table import Table

from ..analysis.additive import sentence
from ..analysis.intervals import Interval
from ..analysis.summary import Summary
from ..analysis.worst import Worst
from ..console import print_table, rounded

_CONDITIONAL = (
    "Upsets and worst: of the fault maps drawn, in which something may be read wrong; mean and "
    "drop: of all."
)


def campaign_table(summary: Summary) -> Table:
    """Accuracy by BER, with intervals over fault maps."""
    sure = f"{100 * summary.confidence:g} %"
    title = f"Accuracy under upsets, with {sure} intervals of the mean drop"
    drawn = summary.sampling == "conditional"
    caption = _CONDITIONAL if drawn else None
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    several = len(summary.golden) > 1
    if several:
        table.add_column("Arch", justify="right")
    protected = any(b.residual is not None for b in summary.bers)
    upsets = ("Upsets", "Read wrong") if protected else ("Upsets",)
    images = any(b.drop_two_way_interval is not None for b in summary.bers)
    intervals = (*(("Other images",) if images else ()), "Near normal", "Any law")
    for name in ("BER", "Trials", *upsets, "Mean %", "Drop", *intervals, "Worst %"):
        table.add_column(name, justify="right")
    if summary.max_drop is not None:
        table.add_column(f"Drop > {summary.max_drop:g}", justify="right")
    for b in summary.bers:
        wrong = [] if not protected else ["-" if b.residual is None else rounded(b.residual)]
        row = [
            f"{b.ber:.3g}",
            f"{b.trials:,}",
            rounded(b.upsets),
            *wrong,
            f"{b.mean:.2f}",
            points(b.drop),
            *([] if not images else [ends(b.drop_two_way_interval)]),
            ends(b.drop_normal_interval),
            ends(b.drop_any_law_interval),
            f"{b.worst:.2f}",
        ]
        if b.exceeding is not None:
            row.append(percent(b.exceeding))
        table.add_row(*([str(b.architecture)] if several else []), *row)
    return table


def worst_table(found: Sequence[Worst]) -> Table:
    """The most harmful single upsets, the worst first."""
    table = Table(title="The most harmful single upsets of those tried", title_justify="left")
    table.add_column("Trial")
    table.add_column("Site")
    for name in ("Word", "Bit", "Accuracy %", "Drop", "Images changed"):
        table.add_column(name, justify="right")
    for one in found:
        fault = one.fault
        table.add_row(
            escape(one.trial),
            escape(fault.site),
            f"{fault.word:,}",
            str(fault.bit),
            f"{one.accuracy:.2f}",
            points(one.drop),
            "-" if one.critical < 0 else f"{one.critical:,}",
        )
    return table


def points(drop: float) -> str:
    """Percentage points with two decimals, or two digits where these say nothing."""
    if abs(drop) < 1e-12:  # what is left of rounding
        return "0.00"
    return f"{drop:.2f}" if abs(drop) >= 0.1 else f"{drop:.2g}"


def ends(interval: Optional[Interval]) -> str:
    return "-" if interval is None else f"{points(interval.low)} ... {points(interval.high)}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0.0 else f"{100 * share:.2g} %"


def print_tables(summary: Summary) -> None:
    """What a campaign found, as far as it has BERs."""
    if summary.bers:
        print_table(campaign_table(summary))


def accuracy_lines(golden: Sequence[float], faulted: Sequence[float], at: str) -> Sequence[str]:
    """What the upsets cost, one line for each architecture evaluated (top-1 in percent). ``at``:
    what was asked for, "BER 0.01" say."""
    lines = []
    for position, after in enumerate(faulted):
        name = f" of architecture {position}" if len(faulted) > 1 else ""
        if position < len(golden):
            before = golden[position]
            lines += [
                f"golden accuracy{name}:  {before:.2f} %",
                f"faulted accuracy{name}: {after:.2f} % at {at}",
                f"accuracy drop{name}:    {before - after:.2f} percentage points",
            ]
        else:
            lines.append(f"faulted accuracy{name}: {after:.2f} % at {at}")
    return lines


def calibration_lines(clean: Sequence[float], faulty: Sequence[float]) -> Sequence[str]:
    """What BatchNorm calibration under the upsets hides, for each architecture."""
    return [
        f"with BatchNorm calibrated under the same upsets: {hidden:.2f} %, "
        f"{hidden - shown:+.2f} percentage points: damage that calibration hides"
        for shown, hidden in zip(clean, faulty)
    ]


def closing_lines(summary: Summary, folder: Path) -> List[str]:
    """What a campaign ends with."""
    lines = []
    for position, threshold in enumerate(summary.thresholds):
        which = f" of architecture {position}" if len(summary.thresholds) > 1 else ""
        lines.append(threshold.sentence(which))
        if threshold.ber is not None:
            lines.append(f"its interval {threshold.others()}")
    lines += [] if summary.rate is None else summary.rate.text()
    for mission in summary.missions:
        lines += mission.text()
    for whole in (s for s in summary.sensitivity if s.site is None and s.bit is None):
        sure = f"{100 * summary.confidence:g} % interval"
        lines.append(
            f"accuracy drop per upset: {whole.drop:.4f} percentage points "
            f"({sure} {whole.interval.low:.4f} ... {whole.interval.high:.4f}); critical in "
            f"{100 * whole.critical:.1f} % of trials ({100 * whole.critical_interval.low:.1f} ... "
            f"{100 * whole.critical_interval.high:.1f})"
        )
    lines += [told for told in (sentence(summary.additive),) if told is not None]
    if summary.critical is not None:
        lines.append(summary.critical.sentence(summary.confidence))
    skipped = summary.trials - summary.ran
    lines.append(
        f"{summary.trials:,} trials, of which {skipped:,} read everything right and took the "
        "golden result"
    )
    lines.append(f"report: {folder / 'report.html'}")
    return lines
