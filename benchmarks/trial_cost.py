"""What a trial costs that computes only what its upsets change, against one that computes all.

The LSQ ResNet-18, images of 32x32 in one batch; upsets uniform over the stored bits of weights.
Each trial runs both ways, in turns; the outputs are the same bit for bit, or this ends with an
error.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any, List, Tuple

import torch
from common import arguments, report
from lsq_resnet import LsqResNet18

from rfquant_hooks.contract import PhaseOutcome
from seu_plugin.analysis.trials import Trial
from seu_plugin.campaign.evaluation import Evaluation
from seu_plugin.injection.reuse import Reuse
from seu_plugin.settings.section import parse_section

UPSETS = (1, 4, 40, 4000)


class Validate:
    """Evaluates one batch; its number stands for an accuracy, and every bit changes it."""

    def __init__(self, model: Any, images: torch.Tensor) -> None:
        self.model, self.images = model, images

    def __call__(self) -> PhaseOutcome:
        with torch.no_grad():
            self.output = self.model(self.images)
        percent = 50.0 + 50.0 * float(torch.sin(self.output.double().sum()))
        return PhaseOutcome(None, (percent,))


def timed(evaluation: Evaluation, work: Validate, trial: Trial) -> Tuple[float, torch.Tensor]:
    """Milliseconds, and the bits of the outputs."""
    began = time.perf_counter()
    evaluation.trial(trial)
    bits = work.output.view(torch.int32).cpu()
    return 1e3 * (time.perf_counter() - began), bits


def measured(model: Any, images: torch.Tensor, trials: int, budget: int) -> List[Tuple[Any, ...]]:
    """A row for each number of upsets."""
    work, reuse = Validate(model, images), Reuse(budget)
    section, rows = parse_section({"ber": 0.0, "seed": 1}), []
    with Evaluation(model, work, section, reuse=reuse) as evaluation:
        evaluation.golden()
        evaluation.trial(Trial(trials, placed=UPSETS[-1]))  # quantizes all weights
        for upsets in UPSETS:
            found = []
            for number in range(trials):
                trial = Trial(number, placed=upsets)
                evaluation.reuse = None
                whole, bits = timed(evaluation, work, trial)
                evaluation.reuse = reuse
                less, others = timed(evaluation, work, trial)
                if not torch.equal(bits, others):
                    raise SystemExit(f"trial {trial.id}: its outputs are not the same")
                found.append((whole, less, reuse.share))
            whole, less, _ = (statistics.median(column) for column in zip(*found))
            share = statistics.mean(row[2] for row in found)
            rows.append((upsets, whole, less, less / whole, share, reuse.kept.peak / 1e6))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--megabytes", type=float, default=25.0, help="budget for each image")
    options = arguments(parser, 15)
    torch.manual_seed(0)
    model = LsqResNet18().eval().to(options.device)
    images = torch.randn(options.images, 3, 32, 32).to(options.device)
    columns = ("upsets", "whole, ms", "reuse, ms", "ratio", "share reused", "kept, MB")
    title = f"A trial of {options.images} images, by upsets"
    budget = int(options.megabytes * 1e6 * options.images)
    rows = measured(model, images, options.repeats, budget)
    report("trial_cost", options.device, title, columns, rows)


if __name__ == "__main__":
    main()
