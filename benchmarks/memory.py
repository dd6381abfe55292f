"""Peak extra memory of one fresh map of a ResNet-18-sized model, drawn and patched in.

    python benchmarks/memory.py [--device cuda]

On a CPU: how far the process's peak resident set rises above where it was (Linux), each case in
a process of its own that has injected once before into a small model. On a GPU: the allocator's
peak.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import re
import subprocess
import sys
from pathlib import Path

import torch
from common import BERS, arguments, report
from injection import Model

STATUS = Path("/proc/self/status")


def resident_kb(key: str) -> int:
    return int(re.search(rf"{key}:\s+(\d+)", STATUS.read_text()).group(1))


def extra_mb(device: torch.device, ber: float, dense: bool) -> float:
    model = Model(device)
    model.prepare(ber)
    warm = Model(device)
    warm.weights = [w[:, :16].clone() for w in warm.weights]
    warm.prepare(1e-3)
    warm.inject(1)  # code and pools are loaded
    warm.dense(1e-3)
    del warm
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        before = resident_kb("VmRSS")
    if dense:
        model.dense(ber)
    else:
        model.inject(1)
    if device.type == "cuda":
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    return (resident_kb("VmHWM") - before) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs=2, metavar=("BER", "METHOD"), help="one case: its MB")
    options = arguments(parser, 1)
    if options.case:
        print(extra_mb(options.device, float(options.case[0]), options.case[1] == "dense"))
        return
    rows = []
    for ber in BERS:
        mb = []
        for method in ("stream", "dense"):
            command = [sys.executable, __file__, "--device", str(options.device)]
            done = subprocess.run(
                [*command, "--case", str(ber), method], check=True, capture_output=True, text=True
            )
            mb.append(float(done.stdout))
        rows.append((ber, *mb))
    columns = ("BER", "stream v1, MB", "dense mask, MB")
    report("memory", options.device, "Peak extra memory, 11.7 M words", columns, rows)


if __name__ == "__main__":
    main()
