"""``seu worst``: the most harmful single bits that a campaign has found."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import click

from .arguments import FILE_TO_WRITE, FOLDER, Count


@click.command(short_help="List the most harmful single bits that were found.")
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option("-n", "--number", type=Count(min=1), default=20, show_default=True, help="How many.")
@click.option(
    "--export-faults",
    type=FILE_TO_WRITE,
    metavar="FILE",
    help="Write them as .csv or .jsonl (mode fault_list reads it).",
)
def worst(folder: Path, number: int, export_faults: Optional[Path]) -> None:
    """List the single upsets of the campaign in DIR that cost most accuracy.

    They are those of its sensitivity study (campaign.sensitivity with one upset a trial). Each is
    run again by seu replay DIR TRIAL. They are the worst that were tried, not the worst that there
    are.
    """
    from ..analysis.worst import worst as found_in
    from ..console import print_table
    from ..faults.fault_list import check_suffix, faults_text
    from ..files import check_writable, write_whole
    from ..report.tables import worst_table

    if export_faults is not None:
        check_suffix(export_faults)
        check_writable(export_faults)
    found = found_in(folder, number)
    print_table(worst_table(found))
    if export_faults is not None:
        write_whole(export_faults, faults_text([one.fault for one in found], export_faults))
        click.echo(f"{export_faults}: {len(found):,} faults")
