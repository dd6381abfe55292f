"""``seu report``: a campaign's tables, pictures and page, made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

import click

from ..errors import ConfigError
from .arguments import FOLDER, FOLDER_TO_BE


@click.command(short_help="Make the report of a campaign anew.")
@click.argument("folders", nargs=-1, required=True, type=FOLDER, metavar="DIR...")
@click.option(
    "-o", "--output", type=FOLDER_TO_BE, help="Folder of the report; default: DIR if there is one."
)
def report(folders: Tuple[Path, ...], output: Optional[Path]) -> None:
    """Make tables, pictures and report.html anew from the trials of a campaign.

    Several DIRs are the shards of one campaign: their trials are merged.
    """
    from ..report.files import write_report
    from ..report.tables import closing_lines, print_tables

    if output is None:
        if len(folders) > 1:
            raise ConfigError("--output: needed to merge several folders")
        output = folders[0]
    summary = write_report(folders, output)
    print_tables(summary)
    for line in closing_lines(summary, output):
        click.echo(line)
