"""What the benchmarks share: the model's sizes, machine facts, tables and JSON."""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).resolve().parent / "results"

#: (name, words, width) of a ResNet-18 for 1,000 classes: 11.7 M words, first and last layer 8
#: bits, the rest 3 and 4 in turn.
RESNET18 = [("conv1", 9408, 8)] + [
    (f"layer{i}", words, 3 + i % 2)
    for i, words in enumerate(
        [36864] * 4
        + [73728, 147456, 8192, 147456, 147456]
        + [294912, 589824, 32768, 589824, 589824]
        + [1179648, 2359296, 131072, 2359296, 2359296]
    )
] + [("fc", 512000, 8)]  # fmt: skip


def median_ms(run: Callable[[int], Any], repeats: int) -> float:
    """Median wall time of ``run(repeat)`` in milliseconds, after one warm-up call."""
    run(0)
    times: List[float] = []
    for repeat in range(1, repeats + 1):
        start = time.perf_counter()
        run(repeat)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def machine() -> Dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def report(name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table and write ``results/NAME.json``."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row))
    Console(width=120).print(table)
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine(), "rows": [dict(zip(columns, row)) for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
