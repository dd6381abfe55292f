"""``seu replay``: one trial of a campaign, run again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click

from .arguments import FILE_TO_WRITE, FOLDER, YES, confirm


@click.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.argument("trial", metavar="TRIAL")
@click.option(
    "--export-faults",
    type=FILE_TO_WRITE,
    metavar="FILE",
    help="Write the bits that were read wrong, as .csv or .jsonl (mode fault_list reads it).",
)
@YES
def replay(folder: Path, trial: str, export_faults: Optional[Path], yes: bool) -> None:
    """Run one TRIAL of the campaign in DIR again and compare.

    TRIAL is an id of trials.jsonl, for example 0.001:7. The host is started with the command
    that the campaign was started with, which DIR names: it is shown first, and runs after a yes.
    Exit code 1: the result is another one.
    """
    from ..campaign.replay import replay as run_again
    from ..faults.fault_list import check_suffix, faults_text
    from ..files import check_writable, write_whole

    if export_faults is not None:
        check_suffix(export_faults)
        check_writable(export_faults)
    confirm(folder, yes)
    result = run_again(folder, trial, faults=export_faults is not None)
    for name, one in (("campaign", result.then), ("replay", result.now)):
        accuracy = ", ".join(f"{metric:.4f} %" for metric in one.metrics)
        click.echo(f"{name + ':':10}{one.upsets:,} upsets, accuracy {accuracy}")
    click.echo("identical" if result.agrees else "NOT identical")
    if export_faults is not None:
        write_whole(export_faults, faults_text(result.faults, export_faults))
        click.echo(f"{export_faults}: {len(result.faults):,} faults")
    if not result.agrees:
        sys.exit(1)
