"""A campaign of 5 BERs x 20 trials on the demo host, against as many clean validate calls.

Both in one process: the host's own ``validate``, first 101 times as it is, then once under hooks
with a campaign in the configuration (golden run, 100 trials, report). A second table: campaigns
with and without ``reuse``, in turns; of them one whose images take time to load. Needs
scikit-learn; trains the demo host first if it has no checkpoint.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch
import yaml
from common import arguments, report
from torch.utils.data import DataLoader, Dataset

import rfquant_hooks

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "examples" / "demo_host"
CHECKPOINT = DEMO / "output" / "digits_checkpoint.pth.tar"
BERS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
TRIALS = 20
GRID = {"ber": BERS, "trials": TRIALS}
LAYERS = {"ber": 1e-6, "trials": 2, "sensitivity": {"by": "layer", "trials": 5}}
#: Name of a campaign, its settings, and milliseconds to load each image of the test data.
CAMPAIGNS: Tuple[Tuple[str, Dict[str, Any], float], ...] = (
    ("5 BERs x 20 trials", GRID, 0.0),
    ("layer by layer, 5 trials each", LAYERS, 0.0),
    ("5 BERs x 20 trials", GRID, 1.0),
)


class Decoded(Dataset):  # type: ignore[type-arg]
    """Data that takes its time for each image, as decoding does."""

    def __init__(self, data: Any, milliseconds: float) -> None:
        self.data, self.milliseconds = data, milliseconds

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        ready = time.perf_counter() + self.milliseconds / 1e3
        while time.perf_counter() < ready:
            pass
        return self.data[index]


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


def campaign_seconds(folder: Path, seed: int, settings: Dict[str, Any], loading: float) -> float:
    """One campaign through the host's ``validate``, under hooks."""
    settings = {**settings, "threshold": "grid", "output": str(folder / "results")}
    section = {"seed": seed, "campaign": settings}
    content = {"eval": True, "resume": {"path": str(CHECKPOINT)}, "fault_injection": section}
    config = folder / "campaign.yaml"
    config.write_text(yaml.safe_dump(content))
    rfquant_hooks.instrument()
    try:
        configs, model, train_loader, test_loader = host(config)
        if loading:
            data = Decoded(test_loader.dataset, loading)
            size, sampler = test_loader.batch_size, test_loader.sampler
            test_loader = DataLoader(data, batch_size=size, sampler=sampler)
        return seconds(lambda: validate(configs, model, train_loader, test_loader))
    finally:
        rfquant_hooks.uninstrument()


def against_clean(seed: int) -> Tuple[Any, ...]:
    """A row of the first table."""
    calls = 1 + len(BERS) * TRIALS
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain.yaml"
        plain.write_text("eval: true\n")
        given = host(plain)
        validate(*given)
        clean = seconds(lambda: [validate(*given) for _ in range(calls)])
        campaign = campaign_seconds(Path(scratch), seed, GRID, 0.0)
    return (seed, calls, clean, campaign, campaign / clean)


def against_none(settings: Dict[str, Any], loading: float, repeats: int) -> Tuple[float, float]:
    """Median seconds without and with reuse."""
    found: List[List[float]] = [[], []]
    for seed in range(repeats):
        for reuse in (False, True):
            with tempfile.TemporaryDirectory() as scratch:
                asked = {**settings, "reuse": reuse}
                found[reuse].append(campaign_seconds(Path(scratch), seed, asked, loading))
    return statistics.median(found[False]), statistics.median(found[True])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reuse-only", action="store_true", help="the second table alone")
    options = arguments(parser, 3)
    sys.path.insert(0, str(DEMO))
    if not CHECKPOINT.exists():
        os.system(f"{sys.executable} {DEMO / 'main.py'} {DEMO / 'configs' / 'train_digits.yaml'}")
    if not options.reuse_only:
        columns = ("seed", "clean calls", "clean, s", "campaign, s", "ratio")
        rows = [against_clean(seed) for seed in range(options.repeats)]
        report("campaign", options.device, "Campaign of 5 BERs x 20 trials", columns, rows)
    found = []
    for name, settings, loading in CAMPAIGNS:
        whole, less = against_none(settings, loading, options.repeats)
        found.append((name, loading, whole, less, less / whole))
    columns = ("campaign", "loading, ms an image", "whole, s", "reuse, s", "ratio")
    report("campaign_reuse", options.device, "Campaigns with reuse", columns, found)


if __name__ == "__main__":
    main()
