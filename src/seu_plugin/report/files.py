"""The files that a campaign ends with, made from its folder or from those of its shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Sequence

from ..analysis.folders import merged, summary_of
from ..analysis.results import TRIALS, write_whole
from ..analysis.summary import Summary
from .export import write_summary_csv
from .figures import ber_curve, mission_curve, sensitivity_map
from .page import report_page


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
