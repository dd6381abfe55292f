"""``seu protect``: the cheapest protection that keeps a target, verified by a campaign."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Tuple

import click

from ..memory.schemes import SCHEMES
from .arguments import FOLDER, FOLDER_TO_BE, YES, Count, Finite, confirm

if TYPE_CHECKING:
    from rich.table import Table

    from ..analysis.planner import Plan


@click.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option(
    "--ber", type=Finite(0.0, 0.5, True), required=True, help="Bit error rate of the memory."
)
@click.option(
    "--max-drop",
    type=Finite(0.0, 100.0, True),
    default=1.0,
    show_default=True,
    help="Target: accuracy drop in percentage points.",
)
@click.option("--budget", type=Count(min=0), help="At most so many extra bits.")
@click.option(
    "--scheme",
    "schemes",
    multiple=True,
    type=click.Choice(SCHEMES[1:]),
    help="Allow only these; can be given several times. Default: all.",
)
@click.option(
    "--on-detected",
    type=click.Choice(["reload", "zero", "keep"]),
    default="reload",
    show_default=True,
    help="What is read where a code gives up.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=2),
    default=20,
    show_default=True,
    help="Fault maps of the campaign that verifies the plan.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Plans to try, each stronger than the one that did not hold.",
)
@click.option("-o", "--output", type=FOLDER_TO_BE, help="Folder; default: DIR/protected.")
@click.option(
    "--verify/--no-verify", default=True, show_default=True, help="Run a campaign with the plan."
)
@YES
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
    yes: bool,
) -> None:
    """Find the cheapest protection that keeps a target, and verify it.

    DIR is a campaign with a sensitivity study by layer (sensitivity: {by: [layer, bit]} also finds
    which bits to guard); its upsets should be as many as the BER makes (sensitivity: {ber: ...}).
    The plan is printed as YAML; then the host is started again with it, by the command that DIR
    names: it is shown first, and runs after a yes. Exit code 1: no campaign showed that the target
    holds.
    """
    import yaml

    from ..analysis.study import independence_note, make_plan
    from ..campaign.verify import overlay
    from ..campaign.verify import verify as by_campaign
    from ..console import print_table
    from ..settings.section import SECTION

    if verify:
        confirm(folder, yes)
    note = independence_note(folder)
    if note:
        click.echo(note)
    aim, before = max_drop, None
    for number in range(1, rounds + 1):
        found = make_plan(folder, ber, aim, schemes or SCHEMES[1:], on_detected, budget, before)
        if before is not None and found.choices == before.choices:
            break  # nothing stronger is left
        print_table(plan_table(found))
        click.echo(
            f"predicted drop at BER {ber:g}, from upper bounds: at most {found.unprotected:.3g} "
            f"percentage points without protection, {found.drop:.3g} with it"
        )
        into = (output or folder / "protected") / f"plan-{number}"
        settings = overlay(found, ber, max_drop, on_detected, trials, into)
        rules = {"protection": settings[SECTION]["protection"]}
        click.echo(yaml.safe_dump({SECTION: rules}, sort_keys=False), nl=False)
        if not verify:
            return
        verdict = by_campaign(folder, settings, into, ber, max_drop)
        click.echo(verdict._replace(predicted=found.drop).text())
        if verdict.holds:
            return
        # Upsets interact, or the study says too little: aim lower than the target.
        aim, before = verdict.next_aim(found.drop), found
    sys.exit(1)


def plan_table(found: Plan) -> Table:
    """For people."""
    from rich.table import Table

    table = Table(title="Cheapest protection", title_justify="left")
    table.add_column("Site", overflow="fold")
    for name in ("Width", "Scheme", "Bits guarded", "Extra bits", "Drop left"):
        table.add_column(name, justify="right")
    for site, choice in found.choices.items():
        width = found.widths[site]
        bits = "-" if not choice.bits else "all" if choice.bits == width else f"top {choice.bits}"
        table.add_row(
            site, str(width), choice.scheme, bits, f"{choice.cost:,}", f"{choice.drop:.4f}"
        )
    table.add_section()
    share = 100 * found.cost / found.stored
    table.add_row("all", "", "", "", f"{found.cost:,} ({share:.1f} %)", f"{found.drop:.4f}")
    return table
