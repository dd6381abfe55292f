"""Tables, pictures and the page of a campaign, made from its folder or from those of its shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from .campaign_settings import CampaignSettings
from .errors import ConfigError
from .export import write_summary_csv
from .figures import ber_curve, mission_curve, sensitivity_map
from .mechanisms import relaxation_of
from .page import report_page
from .results import TRIALS, check_same_campaign, read_manifest, read_rows, write_whole
from .summary import Summary, summarize
from .trials import GOLDEN, TrialResult, same


def merged(
    folders: Sequence[Path],
) -> Tuple[Dict[str, Any], TrialResult, List[TrialResult]]:
    """Manifest, golden run and trials of a campaign that lies in one or more folders.

    Raises ConfigError if the folders are of different campaigns, or disagree on a trial.
    """
    manifest = read_manifest(folders[0])
    golden: Dict[str, TrialResult] = {}
    rows: Dict[str, TrialResult] = {}
    for folder in folders:
        check_same_campaign(read_manifest(folder), manifest["identity"], folder)
        for result in read_rows(folder / TRIALS)[0]:
            known = golden if result.trial.id == GOLDEN else rows
            other = known.setdefault(result.trial.id, result)
            if not same(other, result):
                raise ConfigError(
                    f"{folder / TRIALS}: trial {result.trial.id} has another result than in an "
                    "earlier folder: the shards did not evaluate the same model and data"
                )
    if not golden:
        raise ConfigError(f"{folders[0] / TRIALS}: has no golden run")
    return manifest, golden[GOLDEN], list(rows.values())


def summary_of(folders: Sequence[Path]) -> Summary:
    """What the trials in the folders say."""
    manifest, golden, rows = merged(folders)
    plan = CampaignSettings(**manifest["plan"])
    relaxation = relaxation_of(manifest["identity"]["section"])
    return summarize(golden, rows, plan, _strata(manifest), relaxation)


def write_report(folders: Sequence[Path], output: Path) -> Summary:
    """Write summary.csv, summary.json, report.html and the pictures ber_curve.png, mission.png and
    sensitivity.png, as far as the campaign has them."""
    manifest, golden, rows = merged(folders)
    summary = summary_of(folders)
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "summary.json", json.dumps(summary.document(), indent=2) + "\n")
    write_summary_csv(output / "summary.csv", summary)
    if summary.bers:
        (output / "ber_curve.png").write_bytes(ber_curve(summary, rows))
    for mission in summary.missions[:1]:
        (output / "mission.png").write_bytes(mission_curve(mission, golden.metrics[0]))
    picture = sensitivity_map(summary)
    if picture is not None:
        (output / "sensitivity.png").write_bytes(picture)
    sources = [str(folder / TRIALS) for folder in folders]
    write_whole(output / "report.html", report_page(manifest, summary, rows, sources))
    return summary


def _strata(manifest: Mapping[str, Any]) -> Dict[str, int]:
    return {str(name): int(bits) for name, bits in (manifest.get("strata") or {}).items()}
