"""Two campaigns side by side: the table and the picture. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from rich.table import Table

from ..analysis.intervals import Interval
from ..analysis.summary import Difference
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
