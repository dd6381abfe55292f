"""Tables of a campaign for other programs. No torch; pandas is imported when asked for."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from ..analysis.by_ber import BerSummary
from ..analysis.summary import Summary
from ..analysis.trials import TrialResult
from ..errors import ConfigError
from ..files import write_whole

_QUANTILES = ("q05", "q25", "q50", "q75", "q95")
_SUFFIXES = (".csv", ".parquet")


def summary_rows(summary: Summary) -> List[Dict[str, Any]]:
    """One flat row for each architecture and BER; intervals as ``..._low`` and ``..._high``."""
    return [_flat_row(row) for row in summary.bers]


def _flat_row(row: BerSummary) -> Dict[str, Any]:
    values = vars(row).copy()
    quantiles = dict(zip(_QUANTILES, values.pop("quantiles")))
    outcomes = values.pop("outcomes")
    flat: Dict[str, Any] = {}
    for name, value in values.items():
        if name.endswith("_interval"):
            low, high = (None, None) if value is None else value
            flat[f"{name}_low"], flat[f"{name}_high"] = low, high
        else:
            flat[name] = value
    counts = {"masked": None, "tolerable": None, "critical": None, "nan_inf": None}
    return {**flat, **quantiles, **(counts if outcomes is None else asdict(outcomes))}


def write_summary_csv(path: Path, summary: Summary) -> None:
    """``summary.csv``: accuracies in percent, drops in percentage points."""
    rows = summary_rows(summary)
    text = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_whole(path, text.getvalue())


def write_table(path: Path, results: Sequence[TrialResult], golden: TrialResult) -> None:
    """All trials, the golden run first, as a flat table; CSV or Parquet by the suffix.

    Raises ConfigError for another suffix, or if pandas (for Parquet also pyarrow) is missing.
    """
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"{path}: allowed are {', '.join(_SUFFIXES)}; received {path.suffix!r}")
    try:
        import pandas

        table = pandas.DataFrame([_trial_row(result.row()) for result in (golden, *results)])
        table = table.astype({"bit": "Int64", "site": "string"})
        if path.suffix == ".csv":
            write_whole(path, table.to_csv(index=False, lineterminator="\n"))
        else:
            parquet = io.BytesIO()
            table.to_parquet(parquet, index=False)
            write_whole(path, parquet.getvalue())
    except ImportError as error:
        raise ConfigError(
            f"{path}: needs pandas and pyarrow: pip install 'seu-plugin[export]'"
        ) from error


def _trial_row(row: Mapping[str, Any]) -> Dict[str, Any]:
    values = dict(row)
    metrics = {f"top1_{i}": metric for i, metric in enumerate(values.pop("metrics"))}
    by_site = {f"upsets.{site}": n for site, n in sorted(values.pop("upsets_by_site").items())}
    outcomes = values.pop("outcomes") or {}
    return {**values, **metrics, **outcomes, **by_site}
