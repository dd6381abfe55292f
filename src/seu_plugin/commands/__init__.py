"""The ``seu`` command: a file for each of its subcommands.

A command imports what it works with when it runs, so that ``seu --help`` is there at once.
"""

from __future__ import annotations

import sys

import click

from .._version import __version__
from .check import check
from .compare import compare
from .export import export
from .protect import protect
from .rate import rate
from .replay import replay
from .report import report
from .run import run
from .schema import schema
from .worst import worst


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    commands=(run, check, schema, rate, report, compare, protect, replay, worst, export),
)
@click.version_option(__version__, prog_name="seu")
def cli() -> None:
    """Single-event upsets in the weight memory of quantized networks.

    RFQuant's runs are started with rfquant-run, those of a model of your own with seu run; the
    other commands help with their configuration and their results.
    """


def main() -> None:
    """Entry point: a mistake of the user's is one line and exit code 2."""
    from rfquant_hooks.contract import PluginError

    try:
        cli()
    except PluginError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
