"""The files that a campaign ends with, made from its folder or from those of its shards."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Optional, Sequence

from ..analysis.folders import merged, summary_of_merged
from ..analysis.manifest import MANIFEST
from ..analysis.rows import TRIALS
from ..analysis.summary import Summary
from ..analysis.trials import TrialResult
from ..errors import ConfigError
from ..files import make_folder, write_whole
from .export import write_summary_csv
from .figures import ber_curve, mission_curve, sensitivity_map
from .page import report_page


def write_report(folders: Sequence[Path], output: Path) -> Summary:
    """Write summary.csv, summary.json, report.html and the pictures ber_curve.png, mission.png and
    sensitivity.png, as far as the campaign has them."""
    manifest, golden, rows = merged(folders)
    summary = summary_of_merged(folders, manifest, golden, rows)
    make_folder(output)
    if (output / MANIFEST).exists() and output.resolve() not in {f.resolve() for f in folders}:
        raise ConfigError(f"--output: {output} holds another campaign: choose another folder")
    write_whole(output / "summary.json", strict_json(summary.document()))
    write_summary_csv(output / "summary.csv", summary)
    several = range(len(summary.golden) if summary.bers else 0)
    curves = [ber_curve(summary, rows, architecture) for architecture in several]
    for curve in curves[:1]:
        write_whole(output / "ber_curve.png", curve)
    for mission in summary.missions[:1]:
        write_whole(output / "mission.png", mission_curve(mission, golden.metrics[0]))
    picture = sensitivity_map(summary)
    if picture is not None:
        write_whole(output / "sensitivity.png", picture)
    sources = [str(folder / TRIALS) for folder in folders]
    images = golden.images or _compared(golden)
    page = report_page(manifest, summary, rows, sources, images, curves)
    write_whole(output / "report.html", page)
    return summary


def _compared(golden: TrialResult) -> Optional[int]:
    """Images of each architecture whose outputs were compared."""
    return None if golden.outcomes is None else golden.outcomes.images // len(golden.metrics)


def strict_json(document: Any) -> str:
    """A document of numbers as JSON, which has none that are infinite or NaN: null stands there."""
    return json.dumps(_finite(document), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
