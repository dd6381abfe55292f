"""A campaign of 5 BERs x 20 trials on the demo host, against as many clean validate calls.

Both in one process: the host's own ``validate``, first 101 times as it is, then once under hooks
with a campaign in the configuration (golden run, 100 trials, report). Needs scikit-learn; trains
the demo host first if it has no checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from common import arguments, report

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "examples" / "demo_host"
BERS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
TRIALS = 20


def host(config: Path) -> Any:
    """The demo host's own objects: what its main makes before it calls ``validate``."""
    import main
    from util.checkpoint import load_checkpoint
    from util.config import get_config
    from util.data_loader import init_dataloader
    from util.dist import init_dist

    sys.argv = ["main.py", str(config)]
    configs = get_config(default_file=DEMO / "template.yaml")
    init_dist(configs)
    model, target = main.build(configs)
    train_loader, test_loader = init_dataloader(configs.dataloader)
    load_checkpoint(DEMO / configs.resume.path, model, target)
    return configs, target.ema, train_loader, test_loader


def validate(configs: Any, model: Any, train_loader: Any, test_loader: Any) -> Any:
    import process
    from policy import BITS

    return process.validate(
        test_loader,
        model,
        torch.nn.CrossEntropyLoss(),
        -1,
        [],
        configs,
        train_loader=train_loader,
        eval_predefined_arch=BITS[configs.arch],
    )


def seconds(run: Any) -> float:
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        run()
    return time.perf_counter() - began


def main() -> None:
    options = arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]), 3)
    sys.path.insert(0, str(DEMO))
    if not (DEMO / "output" / "digits_checkpoint.pth.tar").exists():
        os.system(f"{sys.executable} {DEMO / 'main.py'} {DEMO / 'configs' / 'train_digits.yaml'}")
    import rfquant_hooks

    calls, rows = 1 + len(BERS) * TRIALS, []
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain.yaml"
        plain.write_text("eval: true\n")
        for repeat in range(options.repeats):
            given = host(plain)
            validate(*given)
            clean = seconds(lambda given=given: [validate(*given) for _ in range(calls)])
            settings = {"ber": BERS, "trials": TRIALS, "threshold": "grid"}
            settings["output"] = str(Path(scratch) / f"results-{repeat}")
            config = Path(scratch) / f"campaign-{repeat}.yaml"
            section = {"seed": repeat, "campaign": settings}
            resume = {"path": str(DEMO / "output" / "digits_checkpoint.pth.tar")}
            whole = {"eval": True, "resume": resume, "fault_injection": section}
            config.write_text(yaml.safe_dump(whole))
            rfquant_hooks.instrument()
            try:
                given = host(config)
                campaign = seconds(lambda given=given: validate(*given))
            finally:
                rfquant_hooks.uninstrument()
            rows.append((repeat, calls, clean, campaign, campaign / clean))
    columns = ("seed", "clean calls", "clean, s", "campaign, s", "ratio")
    report("campaign", options.device, "Campaign of 5 BERs x 20 trials", columns, rows)


if __name__ == "__main__":
    main()
