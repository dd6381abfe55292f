"""``seu compare``: two campaigns under the same upsets."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from .arguments import FILE_TO_WRITE, FOLDER, Finite


@click.command(short_help="Compare two campaigns, paired over fault maps.")
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
    """Compare two campaigns under the same upsets, paired over fault maps.

    Both need the same seed, widths and fault model; the models or their protection differ.
    """
    from ..analysis.paired import differences, paired
    from ..console import print_table
    from ..files import check_writable
    from ..report.compare import check_picture, comparison_table, draw

    if picture is not None:
        check_picture(picture)
        check_writable(picture)
    rows = differences(first, second, confidence)
    print_table(comparison_table(rows, confidence, paired(first, second)))
    if picture is not None:
        draw(picture, rows, first, second)
        click.echo(f"picture: {picture}")
