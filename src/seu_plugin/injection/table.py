"""Tables of what was exposed and what was upset."""

from __future__ import annotations

from typing import Iterable, List, Optional, Sequence

from rich.table import Table

from ..console import rounded
from ..fields import counted_names
from .statistics import SiteStatistics


def injection_table(sites: Sequence[SiteStatistics], amount: str, seed: Optional[int]) -> Table:
    """Upsets by site, with the number that the BER leads to expect. ``amount``: what was asked for,
    in words; ``seed``: None where it draws nothing."""
    drawn = "" if seed is None else f", seed {seed}"
    table = Table(title=f"Upsets made at {amount}{drawn}", title_justify="left")
    found_by = counted_names(s.adapter for s in sites)
    table.caption, table.caption_justify = (
        f"Sites found by {found_by}" if found_by else None,
        "left",
    )
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
