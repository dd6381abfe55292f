"""``seu export``: the trials of a campaign as one table."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import click

from .arguments import FILE_TO_WRITE, FOLDER


@click.command()
@click.argument("folders", nargs=-1, required=True, type=FOLDER, metavar="DIR...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=FILE_TO_WRITE,
    help="File to write, .csv or .parquet.",
)
def export(folders: Tuple[Path, ...], output: Path) -> None:
    """Write all trials of a campaign as one table, CSV or Parquet."""
    from ..analysis.folders import merged
    from ..files import check_writable
    from ..report.export import write_table

    check_writable(output)
    _, golden, results = merged(folders)
    write_table(output, results, golden)
    click.echo(f"{output}: {len(results):,} trials and the golden run")
