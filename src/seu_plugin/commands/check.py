"""``seu check``: what the section of YAML files asks for, and whether it can be had."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import click

from ..errors import BitWidthError
from .arguments import FILE_TO_BE, FOLDER


@click.command(short_help="Check the section of YAML files, and its files.")
@click.argument("config", nargs=-1, required=True, type=FILE_TO_BE)
@click.option("--host", type=FOLDER, help="The host's folder, where rfquant-run looks, too.")
def check(config: Tuple[Path, ...], host: Optional[Path]) -> None:
    """Check the fault_injection section of YAML files, and the files that it names.

    Later files win, as in the host. Needs no model and no GPU.
    """
    for line in checked(config, host):
        click.echo(line)


def checked(config: Sequence[Path], host: Optional[Path] = None) -> List[str]:
    """What the files ask for, for people; later files win, as in the host. Files that the section
    names are looked for as the host does, whose folder is ``host``, or else one that the
    configuration lies in. Raises ConfigError."""
    from ..host.check_config import is_there
    from ..host.runtime import Runtime
    from ..settings.merged import read_section
    from ..settings.section import SECTION

    section, merged = read_section(config)
    if not section.enabled:
        return [f"{SECTION}: ok; not enabled, so the host runs as without it"]
    source = section.bit_width_config
    if host is None and source is not None and not is_there(Path(source.path)):
        above = [folder for path in config for folder in path.resolve().parents]
        host = next((folder for folder in above if is_there(folder / source.path)), None)
    try:
        runtime = Runtime(section, merged, host or Path.cwd())  # this command's folder is none
    except BitWidthError as error:
        if host is None and source is not None and not is_there(Path(source.path)):
            raise BitWidthError(f"{error}; the host's folder can be named with --host") from error
        raise
    phases = [
        name
        for name, on in (
            ("train", section.enable_in_training),
            ("validate", section.enable_in_inference),
            ("search", section.enable_in_search),
        )
        if on
    ]
    ber = section.amount
    if section.campaign is not None:
        ber = f"campaign of {section.campaign.trials} trials"
        if section.grid:
            several = f"each of {len(section.grid)} BERs" if len(section.grid) > 1 else "one BER"
            ber += f" at {several}"
    elif section.ber_by_epoch is not None and not section.ber:
        schedule = section.ber_by_epoch
        ber = f"BER by epoch ({schedule.shape}, at most {schedule.highest:g})"
    how = "" if section.mode == "ber" else f" of mode {section.mode}"
    lines = [f"{SECTION}: ok; {ber}{how} in {' and '.join(phases)}"]
    for rule in section.protection:
        of = ", ".join(rule.layers.include)
        lines.append(f"protection: {rule.scheme} of bits {rule.bits} of {of}")
    if runtime.widths is not None:
        lines.append(f"bit widths: {runtime.widths.source}, {len(runtime.widths.weights)} layers")
    return lines
