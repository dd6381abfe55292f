"""``seu compare``: two campaigns side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from ..errors import ConfigError
from .arguments import FILE_TO_WRITE, FOLDER, Finite


@click.command(short_help="Compare two campaigns, or two sets of trainings.")
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

    Where FIRST and SECOND hold folders of campaigns, one for each training of a network, the two
    ways to train are compared: trainings are the unit, in pairs where the names of the folders
    agree.
    """
    from ..analysis.paired import compared
    from ..analysis.trainings import campaigns_in, compared_trainings
    from ..console import print_table
    from ..files import check_writable
    from ..report.compare import check_picture, comparison_table, draw, trainings_table

    if any(campaigns_in(folder) for folder in (first, second)):
        if picture is not None:
            raise ConfigError("--picture: is of two campaigns, not of sets of them")
        print_table(trainings_table(compared_trainings(first, second, confidence), confidence))
        return
    if picture is not None:
        check_picture(picture)
        check_writable(picture)
    rows, differ = compared(first, second, confidence)
    print_table(comparison_table(rows, confidence, differ))
    if picture is not None:
        draw(picture, rows, first, second)
        click.echo(f"picture: {picture}")
