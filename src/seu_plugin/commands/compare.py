"""``seu compare``: two campaigns side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from .arguments import FILE_TO_WRITE, FOLDER, Finite


@click.command(short_help="Compare two campaigns, paired where fault maps are the same.")
@click.argument("first", type=FOLDER)
@click.argument("second", type=FOLDER)
@click.option(
    "--confidence",
    type=Finite(0.5, 1.0, True, True),
    default=0.95,
    show_default=True,
    help="Of the intervals of the differences.",
)
@click.option(
    "--picture",
    type=FILE_TO_WRITE,
    metavar="FILE.png",
    help="Draw both curves and their difference.",
)
def compare(first: Path, second: Path, confidence: float, picture: Optional[Path]) -> None:
    """Compare two campaigns at the BERs that both have.

    With the same seed, widths and fault model, trials of one number are the same upsets, and
    the differences are paired over them. Otherwise, as of a network at 8 and at 4 bits,
    they are differences over fault maps that differ, and what differs is listed.
    """
    from ..analysis.paired import compared
    from ..console import print_table
    from ..files import check_writable
    from ..report.compare import check_picture, comparison_table, draw

    if picture is not None:
        check_picture(picture)
        check_writable(picture)
    rows, differ = compared(first, second, confidence)
    print_table(comparison_table(rows, confidence, differ))
    if picture is not None:
        draw(picture, rows, first, second)
        click.echo(f"picture: {picture}")
