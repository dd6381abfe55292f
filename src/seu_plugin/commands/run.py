"""``seu run``: a model and an evaluation of your own, under the section of a YAML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Tuple

import click

from .arguments import FILE_TO_BE


@click.command(short_help="Run your own model and evaluation under upsets.")
@click.argument("config", nargs=-1, required=True, type=FILE_TO_BE)
@click.option("--model", required=True, metavar="MODULE:FUNCTION", help="Returns the model.")
@click.option(
    "--evaluate",
    required=True,
    metavar="MODULE:FUNCTION",
    help="Takes the model; returns its accuracy in percent, or a score in 0 ... 1 an image.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a key of the section, campaign.trials=50 say (repeatable).",
)
def run(config: Tuple[Path, ...], model: str, evaluate: str, changes: Tuple[str, ...]) -> None:
    """Run the campaign, or the single faulted run, that the fault_injection section of YAML files
    asks for, on a model of your own. Later files win.

    A function is named package.module:function (the working directory is on the path) or
    path/to/file.py:function. --model is called without arguments, also once in each worker, and
    must give the same weights each time.

    \b
    For example:
      seu run --model mine.net:build --evaluate mine.data:accuracy seu.yaml
      seu run --model net.py:build --evaluate net.py:accuracy seu.yaml --set campaign.workers=4

    Exit codes: 2 for a mistake in one line, 130 and 143 after Ctrl-C and SIGTERM; the same command
    goes on with a campaign. What your functions raise is shown as Python does.
    """
    from rfquant_hooks.contract import Stopped

    from ..campaign.stopping import TOO_EARLY, stoppable

    try:
        with stoppable(lambda: TOO_EARLY):
            from ..host.script import run_script

            run_script(model, evaluate, config, changes)
    except Stopped as stop:  # which click would take for its own
        sys.stdout.flush()
        click.echo(f"\n{stop}", err=True)
        sys.exit(stop.exit_code)
