"""The page of a campaign: one self-contained HTML file for a reader who was not there. No torch."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from ..analysis.summary import Summary
from ..analysis.trials import TrialResult
from ..console import rounded
from ..fields import counted_names
from .figures import ber_curve, mission_curve, outcome_bars, sensitivity_map
from .tables import percent, points

_TEMPLATES = Path(__file__).with_name("templates")


def report_page(
    manifest: Mapping[str, Any],
    summary: Summary,
    results: Sequence[TrialResult],
    sources: Sequence[str],
    of_images: Optional[int] = None,
    curves: Optional[Sequence[bytes]] = None,
) -> str:
    """The HTML text; pictures are inside, and nothing is loaded from elsewhere. ``of_images``: of
    the test set, where that is known; ``curves``: :func:`~.figures.ber_curve` of each architecture,
    where they are drawn already."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(rounded=rounded, points=points, percent=percent)
    if curves is None:
        several = range(len(summary.golden) if summary.bers else 0)
        curves = [ber_curve(summary, results, architecture) for architecture in several]
    architectures = [
        {
            "golden": golden,
            "golden_interval": None
            if summary.golden_intervals is None
            else summary.golden_intervals[i],
            "images": any(row.drop_two_way_interval is not None for row in summary.bers),
            "counted": any(row.right_to_wrong is not None for row in summary.bers),
            "threshold": summary.thresholds[i] if i < len(summary.thresholds) else None,
            "rows": [row for row in summary.bers if row.architecture == i],
            "curve": _data_uri(curves[i]) if curves else None,
            "outcomes": _data_uri(outcome_bars(summary, i)),
            **_mission(summary, i),
        }
        for i, golden in enumerate(summary.golden)
    ]
    command = manifest.get("command")
    return environment.get_template("report.html").render(
        summary=summary,
        confidence=f"{100 * summary.confidence:g} %",
        architectures=architectures,
        sensitivity=_data_uri(sensitivity_map(summary)),
        margins=any(one.margin is not None for one in summary.sensitivity),
        upsets_by_site=_in_order(summary.upsets_by_site, manifest),
        setup=_setup(manifest),
        command=shlex.join(command) if command else None,
        cwd=manifest.get("cwd"),
        sources=sources,
        of_images=of_images,
        no_images=str(manifest.get("images") or "").partition(": ")[2],
        reused=manifest.get("reused"),
        how=str(manifest.get("sampling") or "").partition(": ")[2],
    )


def _in_order(upsets: Mapping[str, int], manifest: Mapping[str, Any]) -> Mapping[str, int]:
    """Sites in the order of the model, and what is not of weights after them."""
    order = {site: n for n, site in enumerate(manifest.get("identity", {}).get("widths", {}))}
    return dict(sorted(upsets.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def _mission(summary: Summary, architecture: int) -> Mapping[str, Any]:
    for mission in summary.missions:
        if mission.architecture == architecture:
            picture = mission_curve(mission, summary.golden[architecture])
            return {"mission": mission, "timeline": _data_uri(picture)}
    return {"mission": None}


def _data_uri(png: Optional[bytes]) -> Optional[str]:
    return None if png is None else "data:image/png;base64," + base64.b64encode(png).decode()


def _setup(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    identity = manifest.get("identity", {})
    versions = manifest.get("versions", {})
    widths = identity.get("widths", {})
    told = {
        "host": manifest.get("host"),
        "seed": manifest.get("seed"),
        "started": manifest.get("started"),
        "device": manifest.get("device"),
        "CPU threads": manifest.get("threads"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "bits that protection adds": manifest.get("extra_bits") or None,
        "fault model": json.dumps(identity.get("section", {})),
        "plan": json.dumps(manifest.get("plan", {})),
        "quantizers (sites)": counted_names(manifest.get("adapters", {}).values()),
        "bit widths": ", ".join(f"{n} {'/'.join(map(str, w))}" for n, w in widths.items() if w),
        "sites that no forward passed through": ", ".join(
            n for n, used in widths.items() if not used
        ),
        "weights (SHA-256)": identity.get("model"),
        "campaign (SHA-256)": manifest.get("campaign_hash"),
    }
    return {name: str(value) for name, value in told.items() if value not in (None, "")}
