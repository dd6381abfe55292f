"""The ``seu`` command."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, Optional, Tuple

import click
import yaml

from . import __version__
from .config import SECTION, FaultInjectionSection
from .errors import ConfigError
from .protection import SCHEMES

HELP = {"help_option_names": ["-h", "--help"]}


class Finite(click.FloatRange):
    """A range that NaN is not in."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class Count(click.IntRange):
    """A whole number, 42.8e6 say."""

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            whole = float(value)
        except (TypeError, ValueError):
            whole = math.nan
        if math.isfinite(whole) and whole == int(whole) and not str(value).strip().isdigit():
            value = int(whole)
        return int(super().convert(value, param, ctx))


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FOLDER_TO_BE = click.Path(file_okay=False, path_type=Path)


@click.group(context_settings=HELP)
@click.version_option(__version__, prog_name="seu")
def cli() -> None:
    """Single-event upsets in the weight memory of quantized networks.

    Runs are started with rfquant-run; this command helps with their configuration.
    """


@cli.command()
@click.argument("config", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--host", type=FOLDER, help="The host's folder, where rfquant-run looks, too.")
def check(config: Tuple[Path, ...], host: Optional[Path]) -> None:
    """Check the fault_injection section of YAML files, and the files that it names.

    Later files win, as in the host. Needs no model and no GPU.
    """
    from .check_command import checked

    for line in checked(config, host):
        click.echo(line)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the section, for editors that complete YAML from it."""
    inner = FaultInjectionSection.model_json_schema()
    definitions = inner.pop("$defs", {})
    del inner["required"]  # ber, or what stands for it (rate, campaign, ...): seu check tells
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {SECTION: inner},
        "$defs": definitions,
    }
    click.echo(json.dumps(document, indent=2))


@cli.command()
@click.option("--fit-per-mbit", type=float, help="Upsets in 10^9 hours of a Mbit.")
@click.option("--mbit", type=click.Choice(["decimal", "binary"]), help="Bits of a Mbit: decimal "
              "10^6 (default), binary 2^20.")  # fmt: skip
@click.option("--upsets-per-bit-day", type=float, help="Upsets of a bit a day.")
@click.option("--cross-section", type=float, help="Cross section of a bit in cm2; with --flux.")
@click.option("--flux", type=float, help="Particles through a cm2 in a second.")
@click.option("--exposure", help="How long upsets add up, for example 30d: s, min, h, d, y.")
@click.option("--ber", type=float, help="Bit error rate, to be converted back.")
@click.option("--bits", type=Count(min=1), help="Stored bits, to say how many are wrong.")
def rate(
    fit_per_mbit: Optional[float],
    mbit: Optional[str],
    upsets_per_bit_day: Optional[float],
    cross_section: Optional[float],
    flux: Optional[float],
    exposure: Optional[str],
    ber: Optional[float],
    bits: Optional[int],
) -> None:
    """Convert upset rates, exposures and bit error rates into each other.

    A rate and an exposure give the BER; --ber and --exposure the rate; a rate and --ber the
    exposure; a rate alone its other units. For example:

      seu rate --fit-per-mbit 500 --exposure 30d
    """
    from .rate_command import converted

    given = {
        "fit_per_mbit": fit_per_mbit,
        "mbit": mbit,
        "upsets_per_bit_day": upsets_per_bit_day,
        "cross_section_cm2_per_bit": cross_section,
        "flux_per_cm2_s": flux,
    }
    for line in converted(given, exposure, ber, bits):
        click.echo(line)


@cli.command()
@click.argument("folders", nargs=-1, required=True, type=FOLDER, metavar="DIR...")
@click.option(
    "-o", "--output", type=FOLDER_TO_BE, help="Folder of the report; default: DIR if there is one."
)
def report(folders: Tuple[Path, ...], output: Optional[Path]) -> None:
    """Make tables, pictures and report.html anew from the trials of a campaign.

    Several DIRs are the shards of one campaign: their trials are merged.
    """
    from .campaign_run import closing_lines
    from .report import print_tables
    from .report_files import write_report

    if output is None:
        if len(folders) > 1:
            raise ConfigError("--output: needed to merge several folders")
        output = folders[0]
    summary = write_report(folders, output)
    print_tables(summary)
    for line in closing_lines(summary, output):
        click.echo(line)


@cli.command()
@click.argument("first", type=FOLDER)
@click.argument("second", type=FOLDER)
@click.option("--confidence", type=Finite(0.5, 1.0, True, True), default=0.95,
              show_default=True)  # fmt: skip
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png",
              help="Draw both curves and their difference.")  # fmt: skip
def compare(first: Path, second: Path, confidence: float, picture: Optional[Path]) -> None:
    """Compare two campaigns under the same upsets, paired over fault maps.

    Both need the same seed, widths and fault model; the models or their protection differ.
    """
    from .compare import compare as differences
    from .compare import comparison_table, draw, paired
    from .report import print_table

    rows = differences(first, second, confidence)
    print_table(comparison_table(rows, confidence, paired(first, second)))
    if picture is not None:
        draw(picture, rows, first, second)
        click.echo(f"picture: {picture}")


@cli.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option("--ber", type=Finite(0.0, 0.5, True), required=True,
              help="Bit error rate of the memory.")  # fmt: skip
@click.option("--max-drop", type=Finite(0.0, 100.0, True), default=1.0,
              show_default=True, help="Target: accuracy drop in percentage points.")  # fmt: skip
@click.option("--budget", type=Count(min=0), help="At most so many extra bits.")
@click.option("--scheme", "schemes", multiple=True, type=click.Choice(SCHEMES[1:]),
              help="Allow only these; can be given several times. Default: all.")  # fmt: skip
@click.option("--on-detected", type=click.Choice(["reload", "zero", "keep"]), default="reload",
              show_default=True, help="What is read where a code gives up.")  # fmt: skip
@click.option("--trials", type=click.IntRange(min=2), default=20, show_default=True,
              help="Fault maps of the campaign that verifies the plan.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True,
              help="Plans to try, each stronger than the one that did not hold.")  # fmt: skip
@click.option("-o", "--output", type=FOLDER_TO_BE, help="Folder; default: DIR/protected.")
@click.option("--verify/--no-verify", default=True, show_default=True,
              help="Run a campaign with the plan.")  # fmt: skip
def protect(
    folder: Path,
    ber: float,
    max_drop: float,
    budget: Optional[int],
    schemes: Tuple[str, ...],
    on_detected: str,
    trials: int,
    rounds: int,
    output: Optional[Path],
    verify: bool,
) -> None:
    """Find the cheapest protection that keeps a target, and verify it.

    DIR is a campaign with a sensitivity study by layer (sensitivity: {by: [layer, bit]} also finds
    which bits to guard); its upsets should be as many as the BER makes (sensitivity: {ber: ...}).
    The plan is printed as YAML; then the host is started again with it. Exit code 1: no campaign
    showed that the target holds.
    """
    from .protect_command import independence_note, make_plan, overlay, plan_table
    from .protect_command import verify as by_campaign
    from .report import print_table

    note = independence_note(folder)
    if note:
        click.echo(note)
    aim, before = max_drop, None
    for number in range(1, rounds + 1):
        found = make_plan(folder, ber, aim, schemes or SCHEMES[1:], on_detected, budget, before)
        if before is not None and found.choices == before.choices:
            break  # nothing stronger is left
        print_table(plan_table(found))
        click.echo(f"predicted drop at BER {ber:g}: {found.unprotected:.3g} percentage points "
                   f"without protection, {found.drop:.3g} with it")  # fmt: skip
        into = (output or folder / "protected") / f"plan-{number}"
        settings = overlay(found, ber, max_drop, on_detected, trials, into)
        rules = {"protection": settings[SECTION]["protection"]}
        click.echo(yaml.safe_dump({SECTION: rules}, sort_keys=False), nl=False)
        if not verify:
            return
        verdict = by_campaign(folder, settings, into, ber, max_drop)
        click.echo(verdict.text())
        if verdict.holds:
            return
        # Upsets interact, or the study says too little: aim lower than the target.
        aim, before = verdict.next_aim(found.drop), found
    sys.exit(1)


@cli.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.argument("trial", metavar="TRIAL")
def replay(folder: Path, trial: str) -> None:
    """Run one TRIAL of the campaign in DIR again and compare.

    TRIAL is an id of trials.jsonl, for example 0.001:7. The host is started with the command
    that the campaign was started with. Exit code 1: the result is another one.
    """
    from .replay import replay as run_again

    result = run_again(folder, trial)
    for name, one in (("campaign", result.then), ("replay", result.now)):
        accuracy = ", ".join(f"{metric:.4f} %" for metric in one.metrics)
        click.echo(f"{name + ':':10}{one.upsets:,} upsets, accuracy {accuracy}")
    click.echo("identical" if result.agrees else "NOT identical")
    if not result.agrees:
        sys.exit(1)


@cli.command()
@click.argument("folders", nargs=-1, required=True, type=FOLDER, metavar="DIR...")
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, .csv or .parquet.",
)  # fmt: skip
def export(folders: Tuple[Path, ...], output: Path) -> None:
    """Write all trials of a campaign as one table, CSV or Parquet."""
    from .export import write_table
    from .report_files import merged

    _, golden, results = merged(folders)
    write_table(output, results, golden)
    click.echo(f"{output}: {len(results):,} trials and the golden run")


def main() -> None:
    """Entry point: a mistake of the user's is one line and exit code 2."""
    from rfquant_hooks.contract import PluginError

    try:
        cli()
    except PluginError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
