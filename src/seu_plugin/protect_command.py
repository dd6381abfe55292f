"""``seu protect``: plans protection from a sensitivity study, and verifies it by a campaign."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import yaml
from rich.table import Table

from .config import SECTION
from .errors import ConfigError, InjectionError
from .fields import selected_bits
from .layout import MemorySettings
from .planner import Part, Plan, plan, strongest
from .report_files import merged, summary_of
from .results import write_whole
from .summary import BerSummary, StratumSummary, Summary
from .worker import without_option


class Verdict(NamedTuple):
    """What the verifying campaign says: whether the whole interval of the mean drop is at or below
    the target."""

    row: BerSummary
    target: float

    @property
    def holds(self) -> bool:
        return self.row.drop_t.high <= self.target

    def next_aim(self, predicted: float) -> float:
        """What the next plan is to predict: as much less as the measured drop is too high."""
        return predicted * min(self.target / self.row.drop_t.high, 0.9)

    def text(self) -> str:
        low, high = self.row.drop_t
        told = (
            f"measured drop at BER {self.row.ber:g}: {self.row.drop:.2f} percentage points "
            f"({low:.2f} ... {high:.2f}) over {self.row.trials} fault maps"
        )
        if self.holds:
            return f"{told}: the target of {self.target:g} holds"
        if low > self.target:
            return f"{told}: the target of {self.target:g} is NOT met"
        return f"{told}: not enough to tell whether the target of {self.target:g} holds"


def parts_of(manifest: Mapping[str, Any], summary: Summary) -> List[Part]:
    """The sites and their drops per upset: the upper ends of the intervals, since a site whose few
    trials showed no drop is not one that has none. Where all trials agreed, so that the interval is
    a point, the least that another site has. Raises ConfigError without a study by layer."""
    by_site: Dict[str, Dict[Optional[int], Any]] = {}
    for one in summary.sensitivity:
        if one.site is not None:
            by_site.setdefault(one.site, {})[one.bit] = one
    if not by_site:
        raise ConfigError(
            "has no sensitivity study by layer: add to its campaign sensitivity: {by: [layer]} or "
            "{by: [layer, bit]} and run it again (what it has is kept)"
        )
    uppers = [one.interval.high for one in summary.sensitivity if one.interval.high > 0.0]
    least = min(uppers, default=0.0)
    parts = []
    for site, strata in by_site.items():
        (width,) = manifest["identity"]["widths"][site]
        exposed = selected_bits(_bits(manifest["identity"]["section"]["bits"]), width)
        if None in strata:
            codes = strata[None].words // bin(exposed).count("1")
            drop = _upper(strata[None], least)
            drops = tuple(drop if exposed >> b & 1 else 0.0 for b in range(width))
        else:
            codes = max(one.words for one in strata.values())
            drops = tuple(_upper(strata[b], least) if b in strata else 0.0 for b in range(width))
        parts.append(Part(site, codes, width, drops))
    return parts


def _upper(stratum: StratumSummary, least: float) -> float:
    high = max(stratum.interval.high, 0.0)
    return high if high > 0.0 or stratum.exhaustive else least


def _bits(bits: Any) -> Any:
    return tuple(bits) if isinstance(bits, list) else bits


def make_plan(
    folder: Path,
    ber: float,
    max_drop: float,
    schemes: Sequence[str],
    on_detected: str,
    budget: Optional[int],
    before: Optional[Plan] = None,
) -> Plan:
    """The plan for the campaign in ``folder``. After a plan ``before`` that did not hold: the
    strongest one where the study leads to no other. Raises ConfigError if there is none."""
    manifest = merged([folder])[0]
    section = manifest["identity"]["section"]
    if section.get("protection"):
        raise ConfigError(f"{folder}: its memory is protected already; plan from one that is not")
    memory = MemorySettings(**section.get("memory", {}))
    try:
        parts = parts_of(manifest, summary_of([folder]))
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from error
    if max_drop > 0.0:
        try:
            found = plan(parts, ber, max_drop, schemes, on_detected, budget, memory)
        except ConfigError:
            if before is None:
                raise
        else:
            if before is None or found.choices != before.choices:
                return found
    return strongest(parts, ber, schemes, on_detected, budget, memory)


def independence_note(folder: Path) -> Optional[str]:
    """What to say before a plan for a memory whose upsets are not independent flips."""
    mode = merged([folder])[0]["identity"]["section"].get("mode", "ber")
    if mode == "ber":
        return None
    return (
        f"note: predictions are those of independent upsets (mode ber), and the memory has mode "
        f"{mode}: only the verifying campaign tells what a plan is worth"
    )


def plan_table(found: Plan) -> Table:
    """For people."""
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


def overlay(
    found: Plan, ber: float, max_drop: float, on_detected: str, trials: int, output: Path
) -> Dict[str, Any]:
    """YAML to be merged over the campaign's: the protection, and one BER."""
    off = dict.fromkeys(("until", "sensitivity", "mission", "shard"))
    campaign = {
        "ber": [ber], "trials": trials, "threshold": "grid", "max_drop": max_drop,
        "output": str(output.resolve()), **off,
    }  # fmt: skip
    rules = json.loads(json.dumps(found.rules(on_detected)))
    return {SECTION: {"protection": rules, "campaign": campaign}}


def verify(
    folder: Path, settings: Mapping[str, Any], output: Path, ber: float, target: float
) -> Verdict:
    """Start the host of the campaign in ``folder`` again with ``settings`` merged over its own:
    what that says of ``ber`` (``output`` may hold others, too).

    Raises ConfigError if the campaign names no command, InjectionError if the host fails.
    """
    manifest = merged([folder])[0]
    command = manifest.get("command")
    if not command:
        raise ConfigError(f"{folder}: was made from Python, so there is no host to start; use "
                          "--no-verify and give the protection to Campaign")  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    path = output / "protection.yaml"
    write_whole(path, yaml.safe_dump(dict(settings), sort_keys=False))
    for option in ("--output", "--shard"):
        command = without_option(command, option)
    files = [i for i, part in enumerate(command) if part.endswith((".yaml", ".yml"))]
    if not files:
        raise ConfigError(f"{folder}: its command names no YAML file: {' '.join(command)}")
    last = files[-1] + 1
    command = [*command[:last], str(path.resolve()), *command[last:]]
    ended = subprocess.run(command, cwd=manifest["cwd"], check=False)
    if ended.returncode:
        raise InjectionError(f"the verifying campaign ended with exit code {ended.returncode}")
    return verdict(summary_of([output]), ber, target)


def verdict(summary: Summary, ber: float, target: float) -> Verdict:
    """What ``summary`` says of ``ber``. Raises InjectionError if it has no trial there."""
    rows = [row for row in summary.bers if row.ber == ber]
    if not rows:
        raise InjectionError(f"the verifying campaign has no trial at BER {ber:g}")
    return Verdict(rows[0], target)
