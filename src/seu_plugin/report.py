"""Tables for people: what was exposed and what it cost."""

from __future__ import annotations

from typing import Iterable, List, Optional, Sequence

from rich.console import Console
from rich.table import Table

from .statistics import SiteStatistics
from .summary import Summary, rounded


def injection_table(sites: Sequence[SiteStatistics], seed: Optional[int]) -> Table:
    """Upsets by site, with the number that the BER leads to expect."""
    ber = sites[0].ber if sites else 0.0
    table = Table(title=f"Upsets made at BER {ber:g}, seed {seed}", title_justify="left")
    table.add_column("Site", overflow="fold")
    for name in ("Width", "Words", "Bits", "Upsets", "Expected", "Words hit"):
        table.add_column(name, justify="right")
    more = list(_OF_PROTECTION) if any(s.check_bits for s in sites) else []
    more += [("NaN/Inf", "nan_inf")] if any(s.nan_inf for s in sites) else []
    for name, _ in more:
        table.add_column(name, justify="right")
    fields = [field for _, field in more]
    for s in sites:
        widths = ",".join(map(str, s.widths)) or "-"
        table.add_row(s.name, widths, *_counts([s]), *_sums([s], fields))
    if len(sites) > 1:
        table.add_section()
        table.add_row("all", "", *_counts(sites), *_sums(sites, fields))
    return table


_OF_PROTECTION = (
    ("Check bits", "check_bits"),
    ("Read wrong", "residual"),
    ("Corrected", "corrected"),
    ("Given up", "detected"),
)


def _sums(sites: Sequence[SiteStatistics], fields: Sequence[str]) -> List[str]:
    return [f"{sum(getattr(s, field) for s in sites):,}" for field in fields]


def _counts(sites: Sequence[SiteStatistics]) -> List[str]:
    return [
        f"{sum(s.words for s in sites):,}",
        f"{sum(s.bits for s in sites):,}",
        f"{sum(s.upsets for s in sites):,}",
        expected(sites),
        f"{sum(s.words_hit for s in sites):,}",
    ]


def expected(sites: Iterable[SiteStatistics]) -> str:
    """Expected upsets of all ``sites``; - where they depend on what is stored."""
    sites = list(sites)
    known = [s.expected for s in sites if s.expected is not None]
    return rounded(sum(known)) if len(known) == len(sites) else "-"


def nan_inf(sites: Iterable[SiteStatistics]) -> str:
    """What to add to a line about ``sites`` if words were read as NaN or Inf."""
    found = sum(s.nan_inf for s in sites)
    return f"; {found:,} words read as NaN or Inf" if found else ""


def campaign_table(summary: Summary) -> Table:
    """Accuracy by BER, with intervals over fault maps."""
    sure = f"{100 * summary.confidence:g} %"
    table = Table(title="Accuracy under upsets", title_justify="left")
    several = len(summary.golden) > 1
    if several:
        table.add_column("Arch", justify="right")
    protected = any(b.residual is not None for b in summary.bers)
    upsets = ("Upsets", "Read wrong") if protected else ("Upsets",)
    for name in ("BER", "Trials", *upsets, "Mean %", "Drop", f"{sure} interval", "Worst %"):
        table.add_column(name, justify="right")
    if summary.max_drop is not None:
        table.add_column(f"Drop > {summary.max_drop:g}", justify="right")
    for b in summary.bers:
        wrong = [] if not protected else ["-" if b.residual is None else rounded(b.residual)]
        row = [
            f"{b.ber:.3g}", f"{b.trials:,}", rounded(b.upsets), *wrong, f"{b.mean:.2f}",
            f"{b.drop:.2f}",
            f"{b.drop_t.low:.2f} ... {b.drop_t.high:.2f}", f"{b.worst:.2f}",
        ]  # fmt: skip
        if b.exceeding is not None:
            row.append(f"{100 * b.exceeding:.0f} %")
        table.add_row(*([str(b.architecture)] if several else []), *row)
    return table


def print_table(table: Table) -> None:
    """Print to standard output, as it is at the time of the call; wide enough for a file."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(100, 13 * len(table.columns)))
    console.print(table)


def print_tables(summary: Summary) -> None:
    """What a campaign found, as far as it has BERs."""
    if summary.bers:
        print_table(campaign_table(summary))


def accuracy_lines(golden: Sequence[float], faulted: Sequence[float], ber: float) -> Sequence[str]:
    """What the upsets cost, one line for each architecture evaluated (top-1 in percent)."""
    lines = []
    for position, after in enumerate(faulted):
        name = f" of architecture {position}" if len(faulted) > 1 else ""
        if position < len(golden):
            before = golden[position]
            lines += [
                f"golden accuracy{name}:  {before:.2f} %",
                f"faulted accuracy{name}: {after:.2f} % at BER {ber:g}",
                f"accuracy drop{name}:    {before - after:.2f} percentage points",
            ]
        else:
            lines.append(f"faulted accuracy{name}: {after:.2f} % at BER {ber:g}")
    return lines


def calibration_lines(clean: Sequence[float], faulty: Sequence[float]) -> Sequence[str]:
    """What BatchNorm calibration under the upsets hides, for each architecture."""
    return [
        f"with BatchNorm calibrated under the same upsets: {hidden:.2f} %, "
        f"{hidden - shown:+.2f} percentage points: damage that calibration hides"
        for shown, hidden in zip(clean, faulty)
    ]
