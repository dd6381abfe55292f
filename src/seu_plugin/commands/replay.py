"""``seu replay``: one trial of a campaign, run again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .arguments import FOLDER


@click.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.argument("trial", metavar="TRIAL")
def replay(folder: Path, trial: str) -> None:
    """Run one TRIAL of the campaign in DIR again and compare.

    TRIAL is an id of trials.jsonl, for example 0.001:7. The host is started with the command
    that the campaign was started with. Exit code 1: the result is another one.
    """
    from ..campaign.replay import replay as run_again

    result = run_again(folder, trial)
    for name, one in (("campaign", result.then), ("replay", result.now)):
        accuracy = ", ".join(f"{metric:.4f} %" for metric in one.metrics)
        click.echo(f"{name + ':':10}{one.upsets:,} upsets, accuracy {accuracy}")
    click.echo("identical" if result.agrees else "NOT identical")
    if not result.agrees:
        sys.exit(1)
