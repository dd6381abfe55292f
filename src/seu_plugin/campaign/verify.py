"""A plan of protection, put to the test: the host of a campaign is started again with it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import yaml

from ..analysis.by_ber import BerSummary
from ..analysis.folders import merged, summary_of
from ..analysis.planner import Plan
from ..analysis.summary import Summary
from ..errors import ConfigError, InjectionError
from ..files import make_folder, write_whole
from ..settings.section import SECTION
from .worker import without_option


class Verdict(NamedTuple):
    """What the verifying campaign says: whether the whole interval of the mean drop is at or below
    the target. ``predicted``: by the plan, from upper bounds, so that it is too high where all is
    well; told beside what was measured."""

    row: BerSummary
    target: float
    predicted: Optional[float] = None

    @property
    def holds(self) -> bool:
        return self.row.drop_normal_interval.high <= self.target

    def next_aim(self, predicted: float) -> float:
        """What the next plan is to predict: as much less as the measured drop is too high."""
        return predicted * min(self.target / self.row.drop_normal_interval.high, 0.9)

    def text(self) -> str:
        low, high = self.row.drop_normal_interval
        told = (
            f"measured drop at BER {self.row.ber:g}: {self.row.drop:.2f} percentage points "
            f"({low:.2f} ... {high:.2f}) over {self.row.trials} fault maps"
        )
        if self.predicted and self.row.drop > 0.0:
            times = self.predicted / self.row.drop
            told += f"; predicted was at most {self.predicted:.2g}, {times:.2g} times that"
        if self.holds:
            return f"{told}: the target of {self.target:g} holds"
        if low > self.target:
            return f"{told}: the target of {self.target:g} is NOT met"
        return f"{told}: not enough to tell whether the target of {self.target:g} holds"


def overlay(
    found: Plan, ber: float, max_drop: float, on_detected: str, trials: int, output: Path
) -> Dict[str, Any]:
    """YAML to be merged over the campaign's: the protection, and one BER."""
    off = dict.fromkeys(("until", "sensitivity", "critical", "mission", "shard"))
    campaign = {
        "ber": [ber],
        "trials": trials,
        "threshold": "grid",
        "max_drop": max_drop,
        "output": str(output.resolve()),
        **off,
    }
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
        raise ConfigError(
            f"{folder}: was made from Python, so there is no host to start; use "
            "--no-verify and give the protection to Campaign"
        )
    settings = without_rate_of_mission(settings, manifest.get("rate"))
    make_folder(output)
    path = output / "protection.yaml"
    write_whole(path, yaml.safe_dump(dict(settings), sort_keys=False))
    for option in ("--output", "--shard"):
        command = without_option(command, option)
    command = without_changes(command, settings[SECTION])
    files = [i for i, part in enumerate(command) if part.endswith((".yaml", ".yml"))]
    if not files:
        raise ConfigError(f"{folder}: its command names no YAML file: {' '.join(command)}")
    last = files[-1] + 1
    command = [*command[:last], str(path.resolve()), *command[last:]]
    ended = subprocess.run(command, cwd=manifest["cwd"], check=False)
    if ended.returncode:
        raise InjectionError(f"the verifying campaign ended with exit code {ended.returncode}")
    return verdict(summary_of([output]), ber, target)


def without_rate_of_mission(
    settings: Mapping[str, Any], rate: Optional[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """``settings`` that switch off a ``rate`` without an exposure: without the mission that it was
    for, it makes no BER, and none is asked of it."""
    if rate is None or "exposure" in rate:
        return settings
    return {SECTION: {**settings[SECTION], "rate": None}}


def without_changes(command: Sequence[str], section: Mapping[str, Any]) -> List[str]:
    """``command`` without ``--set KEY=VALUE`` of what ``section`` says, which would win over it."""
    kept: List[str] = []
    for part in command:
        before = kept[-1:] == ["--set"]
        change = part if before else part[len("--set=") :] if part.startswith("--set=") else ""
        keys = change.partition("=")[0].strip().split(".")
        inside = section.get(keys[0])
        told = keys[0] in section and (
            len(keys) == 1 or not isinstance(inside, Mapping) or keys[1] in inside
        )
        if not told:
            kept.append(part)
        elif before:
            del kept[-1]
    return kept


def verdict(summary: Summary, ber: float, target: float) -> Verdict:
    """What ``summary`` says of ``ber``. Raises InjectionError if it has no trial there."""
    rows = [row for row in summary.bers if row.ber == ber]
    if not rows:
        raise InjectionError(f"the verifying campaign has no trial at BER {ber:g}")
    return Verdict(rows[0], target)
