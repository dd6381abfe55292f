"""Two campaigns side by side: the table and the picture. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from rich.table import Table

from ..analysis.summary import Difference
from ..errors import ConfigError
from ..files import write_whole
from .figures import comparison_curves


def comparison_table(rows: Sequence[Difference], confidence: float, pairs: bool = True) -> Table:
    """For people. ``pairs``: what :func:`~seu_plugin.analysis.paired.paired` says."""
    differ = "over fault maps that differ (campaign.sampling, protection or clusters)"
    over = "paired over fault maps" if pairs else differ
    table = Table(title=f"Second minus first, {over}", title_justify="left")
    sure = f"{100 * confidence:g} % interval"
    for name in ("BER", "Trials", "First %", "Second %", "Difference", sure):
        table.add_column(name, justify="right")
    for row in rows:
        golden = row.ber == 0.0
        table.add_row(
            "golden" if golden else f"{row.ber:.3g}",
            "-" if golden else str(row.trials),
            f"{row.first:.2f}",
            f"{row.second:.2f}",
            f"{row.difference:+.2f}",
            "-" if golden else f"{row.interval.low:+.2f} ... {row.interval.high:+.2f}",
        )
    return table


def check_picture(picture: Path) -> None:
    """Raise ConfigError unless the path is one of a picture."""
    if picture.suffix != ".png":
        raise ConfigError(f"--picture: must end in .png; received {str(picture)!r}")


def draw(picture: Path, rows: Sequence[Difference], first: Path, second: Path) -> None:
    """Write the two curves as a PNG. Raises ConfigError if ``picture`` is none or cannot be."""
    check_picture(picture)
    write_whole(picture, comparison_curves(rows, str(first), str(second)))
