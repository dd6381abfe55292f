"""Two campaigns side by side: the table and the picture. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from rich.table import Table

from ..analysis.intervals import Interval
from ..analysis.summary import Difference
from ..analysis.trainings import TrainingsComparison
from ..errors import ConfigError
from ..files import write_whole
from .figures import comparison_curves


def comparison_table(
    rows: Sequence[Difference], confidence: float, differ: Sequence[str] = ()
) -> Table:
    """For people. ``differ``: what a :class:`~seu_plugin.analysis.paired.Comparison` lists."""
    over = "over fault maps that differ" if differ else "paired over fault maps"
    sure = f"with {100 * confidence:g} % intervals of the mean difference"
    told = "Of these images and these two networks. "
    if differ:
        told += f"Differ (first / second): {'; '.join(differ)}"
    table = Table(
        title=f"Second minus first, {over}, {sure}",
        title_justify="left",
        caption=told,
        caption_justify="left",
    )
    golden = rows[0].difference
    names = ["BER", "Trials", "First %", "Second %", "Difference", "Near normal", "Any law"]
    for name in names + ["More drop"] * (golden != 0.0):
        table.add_column(name, justify="right")
    for row in rows:
        is_golden = row.ber == 0.0
        cells = [
            "golden" if is_golden else f"{row.ber:.3g}",
            "-" if is_golden else str(row.trials),
            f"{row.first:.2f}",
            f"{row.second:.2f}",
            f"{row.difference:+.2f}",
            *("-" if is_golden else _ends(one) for one in (row.interval, row.any_law)),
        ]
        if golden != 0.0:
            cells.append("-" if is_golden else f"{golden - row.difference:+.2f}")
        table.add_row(*cells)
    return table


def trainings_table(found: TrainingsComparison, confidence: float) -> Table:
    """For people."""
    n, m = found.sizes
    pairs = f"{n} pairs of trainings" if found.pairs else f"{n} and {m} trainings"
    maps = "each with fault maps of its own" if found.maps_vary else "all under the same fault maps"
    told = (
        f"Sampled: {pairs}, {maps}. Fixed: these images. Near normal (Student's t"
        f"{'' if found.pairs else ', Welch'}): few trainings say little."
    )
    if found.differ:
        told += f" Differ: {'; '.join(found.differ)}"
    table = Table(
        title=f"Second minus first, over {pairs}, with {100 * confidence:g} % intervals of the "
        "mean difference",
        title_justify="left",
        caption=told,
        caption_justify="left",
    )
    names = ["BER", "First % (sd)", "Second % (sd)", "Difference", "Near normal"]
    for name in names + ["Smallest, largest"] * bool(found.pairs):
        table.add_column(name, justify="right")
    for row in found.rows:
        cells = [
            "golden" if row.ber == 0.0 else f"{row.ber:.3g}",
            f"{row.first:.2f} ({row.first_sd:.2f})",
            f"{row.second:.2f} ({row.second_sd:.2f})",
            f"{row.difference:+.2f}",
            _ends(row.interval),
        ]
        if row.extremes is not None:
            cells.append(f"{row.extremes[0]:+.2f}, {row.extremes[1]:+.2f}")
        table.add_row(*cells)
    return table


def _ends(interval: Interval) -> str:
    return f"{interval.low:+.2f} ... {interval.high:+.2f}"


def check_picture(picture: Path) -> None:
    """Raise ConfigError unless the path is one of a picture."""
    if picture.suffix != ".png":
        raise ConfigError(f"--picture: must end in .png; received {str(picture)!r}")


def draw(picture: Path, rows: Sequence[Difference], first: Path, second: Path) -> None:
    """Write the two curves as a PNG. Raises ConfigError if ``picture`` is none or cannot be."""
    check_picture(picture)
    write_whole(picture, comparison_curves(rows, str(first), str(second)))
