"""What a start costs: the demo host under rfquant-run without a section, and ``seu --help``.

Processes of their own, each kind in turn with the one that it is compared with; medians. Needs
scikit-learn; trains the demo host first if it has no checkpoint.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Tuple

from common import arguments, report

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo_host"
HELP = "from seu_plugin.commands import main; main()"


def seconds(command: List[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def compared(plain: List[str], ours: List[str], repeats: int) -> Tuple[float, float]:
    """Median seconds of both commands, after one warm-up of each."""
    seconds(plain), seconds(ours)
    times = [(seconds(plain), seconds(ours)) for _ in range(repeats)]
    one, other = (statistics.median(column) for column in zip(*times))
    return one, other


def main() -> None:
    options = arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]), 9)
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "plain.yaml"
        config.write_text("eval: true\n")
        host = [str(DEMO / "main.py"), str(config)]
        starts = {
            "host, then rfquant-run": (host, ["-m", "rfquant_hooks", *host]),
            "python -c pass, then seu --help": (["-c", "pass"], ["-c", HELP, "--help"]),
        }
        rows = []
        for name, (plain, ours) in starts.items():
            before, after = compared(plain, ours, options.repeats)
            rows.append((name, before, after, after - before, after / before))
    columns = ("start", "first, s", "second, s", "difference, s", "ratio")
    report("startup", options.device, f"Starts, medians of {options.repeats}", columns, rows)


if __name__ == "__main__":
    main()
