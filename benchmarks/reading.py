"""What it takes to read a campaign of many trials: time and peak memory of its report, and of its
comparison with another, each a process of its own.

    python benchmarks/reading.py            # 200,000 rows: 10 BERs, 20,000 fault maps
    python benchmarks/reading.py --images   # with the images that each trial changes, 360 of them
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, List

import numpy as np
from common import CPU, RESNET18, report

from seu_plugin.analysis.manifest import MANIFEST
from seu_plugin.analysis.packed_bits import packed
from seu_plugin.analysis.rows import TRIALS
from seu_plugin.analysis.trials import Outcomes, Trial, TrialResult

BERS = tuple(float(f"{ber:.2e}") for ber in np.geomspace(1e-8, 1e-5, 10))
BITS = {name: words * width for name, words, width in RESNET18}
ALL = sum(BITS.values())
GOLDEN = (70.0, 65.0)
#: Images, where rows say which of them change; else as many as there are accuracies.
FEW, MANY = 360, 10_000
_SEU = "from seu_plugin.commands import main; main()"


def write_campaign(folder: Path, trials: int, images: bool, seed: int) -> None:
    """A folder as a campaign of the version that runs this writes it."""
    folder.mkdir(parents=True)
    number = FEW if images else MANY
    random = np.random.Generator(np.random.Philox(seed))
    right = [np.arange(number) < round(number * golden / 100) for golden in GOLDEN]
    metrics = tuple(100.0 * float(one.mean()) for one in right)
    golden = TrialResult(
        Trial(0),
        metrics,
        bits=ALL,
        outcomes=Outcomes(masked=number * len(right)),
        digest="0" * 64,
        images=number if images else None,
        right=tuple(map(packed, right)) if images else None,
    )
    plan = {"ber": BERS, "trials": trials, "threshold": "grid", "max_drop": 1.0}
    identity = {
        "section": {"mode": "ber", "encoding": "twos_complement", "bits": "all"},
        "seed": 1,
        "widths": {name: [width] for name, _, width in RESNET18},
        "model": f"{seed:064d}",
    }
    manifest = {
        "format": 1,
        "identity": identity,
        "seed": 1,
        "plan": plan,
        "population": {"kinds": [[ALL, 1, 1]], "factor": 1.0},
        "sampling": "conditional",
        "versions": {},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with (folder / TRIALS).open("w") as file:
        file.write(json.dumps(golden.row()) + "\n")
        for ber in BERS:
            for trial in range(trials):
                result = _trial(Trial(trial, ber), random, right, images)
                file.write(json.dumps(result.row()) + "\n")


def _trial(trial: Trial, random: Any, right: List[Any], images: bool) -> TrialResult:
    assert trial.ber is not None
    by_site = {name: int(random.poisson(trial.ber * bits)) for name, bits in BITS.items()}
    by_site = {name: n for name, n in by_site.items() if n} or {"fc": 1}
    upsets, number = sum(by_site.values()), right[0].size
    wrong = min(0.02, 2e-4 * upsets) * float(random.gamma(1.0))  # of images, on average
    changed = [random.random(number) < wrong for _ in right] if images else []
    share = [100.0 * float((one ^ c).mean()) for one, c in zip(right, changed)] or [
        (round(number * g / 100) - int(random.poisson(number * wrong))) * 100.0 / number
        for g in GOLDEN
    ]
    critical = int(number * wrong)
    return TrialResult(
        trial,
        tuple(share),
        upsets,
        upsets,
        ALL,
        by_site,
        Outcomes(number - critical, 0, critical, 0),
        seconds=float(random.gamma(9.0)),
        struck=((upsets, upsets),),
        changed=tuple(map(packed, changed)) if images else None,
    )


def measured(*arguments: Any) -> List[float]:
    """Seconds, seconds of CPU, and peak memory in MB of one ``seu`` command."""
    code = (
        "import json, resource, subprocess, sys, time; begin = time.perf_counter(); "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(json.dumps([time.perf_counter() - begin, used.ru_utime + used.ru_stime, "
        "used.ru_maxrss / 1024]))"
    )
    command = [sys.executable, "-c", code, sys.executable, "-c", _SEU, *map(str, arguments)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return [float(value) for value in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--trials", type=int, default=20_000, help="at each of 10 BERs")
    parser.add_argument("--images", action="store_true", help="rows say which images change")
    parser.add_argument("--folder", type=Path, help="keep the campaigns there, or use them again")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary)
        first, second = (root / name for name in ("first", "second"))
        for seed, folder in enumerate((first, second), 1):
            if not folder.exists():
                write_campaign(folder, options.trials, options.images, seed)
        rows: List[List[Any]] = []
        size = options.trials * len(BERS)
        rows.append(["seu report", size, *measured("report", first, "-o", root / "report")])
        rows.append(["seu compare", size, *measured("compare", first, second)])
    name = "reading_images" if options.images else "reading"
    report(
        name,
        CPU,
        "Reading a campaign",
        ("command", "rows", "seconds", "CPU seconds", "peak MB"),
        rows,
    )


if __name__ == "__main__":
    main()
