"""What the benchmarks share: the model's sizes, machine facts, tables and JSON."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, List, Sequence, Tuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).resolve().parent / "results"

#: (name, words, width) of a ResNet-18 for 1,000 classes: 11.7 M words, first and last layer 8
#: bits, the rest 3 and 4 in turn.
RESNET18 = (
    [("conv1", 9408, 8)]
    + [
        (f"layer{i}", words, 3 + i % 2)
        for i, words in enumerate(
            [36864] * 4
            + [73728, 147456, 8192, 147456, 147456]
            + [294912, 589824, 32768, 589824, 589824]
            + [1179648, 2359296, 131072, 2359296, 2359296]
        )
    ]
    + [("fc", 512000, 8)]
)


BERS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
CPU = torch.device("cpu")


def arguments(parser: argparse.ArgumentParser, repeats: int) -> argparse.Namespace:
    """Parse what all benchmarks take."""
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--device", type=torch.device, default=CPU)
    return parser.parse_args()


def time_ms(run: Callable[[int], Any], repeat: int, device: torch.device) -> float:
    """Wall time of ``run(repeat)`` in milliseconds; by events on a GPU."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        run(repeat)
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end))
    begin = time.perf_counter()
    run(repeat)
    return 1e3 * (time.perf_counter() - begin)


def median_ms(run: Callable[[int], Any], repeats: int, device: torch.device = CPU) -> float:
    """Median time of ``run(repeat)`` in milliseconds, after one warm-up call."""
    run(0)
    return statistics.median(time_ms(run, r, device) for r in range(1, repeats + 1))


def in_rounds(
    runs: Sequence[Tuple[Callable[[int], Any], int]], rounds: int, device: torch.device
) -> List[List[float]]:
    """Times in milliseconds of each of ``runs`` (function, calls), in ``rounds`` of all of them;
    the first call of each round is not counted."""
    times: List[List[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for found, (run, calls) in zip(times, runs):
            run(0)
            found += [time_ms(run, call, device) for call in range(1, calls + 1)]
    return times


def in_turns(
    run: Callable[[int], Any],
    change: ContextManager[Any],
    repeats: int,
    device: torch.device,
    once: bool = False,
) -> Tuple[float, float]:
    """Median times of ``run`` without and under ``change``: turns of three calls each.

    ``once``: ``change`` can be entered one time only, so there is one turn.
    """
    rounds = 1 if once else 3
    plain: List[float] = []
    changed: List[float] = []
    for _ in range(rounds):
        run(0)
        plain += [time_ms(run, r, device) for r in range(max(3, repeats // rounds))]
        with change:
            run(0)
            changed += [time_ms(run, r, device) for r in range(max(3, repeats // rounds))]
    return statistics.median(plain), statistics.median(changed)


def machine() -> Dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def report(
    name: str,
    device: torch.device,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> None:
    """Print a table and write ``results/NAME.json`` (``NAME_cuda.json`` for a GPU)."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row))
    Console(width=120).print(table)
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine(), "rows": [dict(zip(columns, row)) for row in rows]}
    name += "_cuda" if device.type == "cuda" else ""
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
