"""What a trial costs that computes only what its upsets change, against one that computes all.

LSQ networks, images of 32x32 in one batch. Each trial runs both ways, in turns; the outputs are
the same bit for bit, or this ends with an error. Three tables: by the number of upsets, uniform
over the stored bits of weights; by the memory that may be kept; a study layer by layer, as
``campaign.sensitivity`` runs it.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import torch
from common import arguments, report, time_ms
from lsq_mobilenet import LsqMobileNetV2
from lsq_resnet import LsqResNet18, QuanConv, QuanLinear

from rfquant_hooks.contract import PhaseOutcome
from seu_plugin.analysis.strata import strata, stratum_trials
from seu_plugin.analysis.trials import Trial
from seu_plugin.campaign.evaluation import Evaluation
from seu_plugin.injection.reuse import Reuse
from seu_plugin.settings.campaign import Sensitivity
from seu_plugin.settings.section import parse_section

#: As it is made, the ResNet's last stage sees few values that are not zero, and masks most upsets:
#: more than a trained network does. The calibrated ones mask less than most.
NETWORKS = {
    "resnet18": (LsqResNet18, False),
    "resnet18-calibrated": (LsqResNet18, True),
    "mobilenetv2-calibrated": (LsqMobileNetV2, True),
}
UPSETS = (1, 4, 40, 4000)
BUDGETS = (0, 1, 5, 25, 100)  # MB an image
Row = Tuple[Any, ...]


class Validate:
    """Evaluates one batch; its number stands for an accuracy, and every bit changes it."""

    def __init__(self, model: Any, images: torch.Tensor) -> None:
        self.model, self.images = model, images

    def __call__(self) -> PhaseOutcome:
        with torch.no_grad():
            self.output = self.model(self.images)
        percent = 50.0 + 50.0 * float(torch.sin(self.output.double().sum()))
        return PhaseOutcome(None, (percent,))


class Cost(NamedTuple):
    """Of one trial: milliseconds both ways, shares of the work reused and of outputs masked."""

    whole: float
    reuse: float
    reused: float
    masked: float


class BothWays:
    """Runs trials of one network, each with and without reuse."""

    def __init__(self, model: Any, images: torch.Tensor, budget: int) -> None:
        self.work, self.reuse = Validate(model, images), Reuse(budget)
        section = parse_section({"ber": 0.0, "seed": 1})
        self.evaluation = Evaluation(model, self.work, section, reuse=self.reuse)

    def trial(self, trial: Trial) -> Cost:
        whole, bits, _ = self._timed(trial, None)
        less, others, masked = self._timed(trial, self.reuse)
        if not torch.equal(bits, others):
            raise SystemExit(f"trial {trial.id}: its outputs are not the same")
        return Cost(whole, less, self.reuse.share, masked)

    def _timed(self, trial: Trial, reuse: Any) -> Tuple[float, torch.Tensor, float]:
        """Milliseconds, the bits of the outputs, and the share of outputs masked."""
        results: List[Any] = []
        self.evaluation.reuse = reuse
        device = self.work.images.device
        spent = time_ms(lambda _: results.append(self.evaluation.trial(trial)), 0, device)
        outcomes = results[0].outcomes
        return spent, self.work.output.view(torch.int32).cpu(), outcomes.masked / outcomes.images


@contextmanager
def both_ways(model: Any, images: torch.Tensor, megabytes: float) -> Iterator[BothWays]:
    """After the golden run and a trial that quantizes all weights."""
    made = BothWays(model, images, int(megabytes * 1e6 * len(images)))
    with made.evaluation:
        made.evaluation.golden()
        made.trial(Trial(0, placed=UPSETS[-1]))
        yield made


def by_upsets(runs: BothWays, upsets: Sequence[int], trials: int) -> List[Row]:
    """For each number of upsets: medians, and the ratio of the sums, which is that of campaigns."""
    rows = []
    for placed in upsets:
        found = [runs.trial(Trial(number, placed=placed)) for number in range(trials)]
        wholes, lesses, reused, masked = zip(*found)
        whole, less = statistics.median(wholes), statistics.median(lesses)
        ratios = (less / whole, sum(lesses) / sum(wholes))
        shares = (statistics.mean(reused), statistics.mean(masked))
        rows.append((placed, whole, less, *ratios, *shares, runs.reuse.kept.peak / 1e6))
    return rows


def by_memory(model: Any, images: torch.Tensor, trials: int) -> List[Row]:
    """Rows of 1 and 4 upsets for each budget."""
    rows: List[Row] = []
    for megabytes in BUDGETS:
        with both_ways(model, images, megabytes) as runs:
            rows += [(megabytes, *row) for row in by_upsets(runs, UPSETS[:2], trials)]
    return rows


def by_layer(runs: BothWays, trials: int) -> Row:
    """Sums over a study of as many trials of one upset in each layer."""
    study = Sensitivity(by=("layer",), trials=trials)
    layers = strata(runs.evaluation.stored.memory, study)
    planned = [one for name, bits in layers.items() for one in stratum_trials(name, bits, study)]
    wholes, lesses, reused, masked = zip(*(runs.trial(trial) for trial in planned))
    whole, less = sum(wholes) / 1e3, sum(lesses) / 1e3
    shares = (statistics.mean(reused), statistics.mean(masked))
    return (len(layers), len(planned), whole, less, less / whole, *shares)


@torch.no_grad()
def calibrated(model: Any, images: torch.Tensor) -> Any:
    """``model`` with statistics and step sizes of activations that fit ``images``: as it is made,
    its deep layers see zeros, and their upsets are masked."""

    def fit(layer: Any, args: Tuple[torch.Tensor]) -> None:
        high = 2 ** (layer.bits[1] - (not layer.quan_a_fn.all_positive)) - 1
        layer.quan_a_fn.s.fill_(2 * float(args[0].abs().mean()) / high**0.5)  # as LSQ begins

    layers = [one for one in model.modules() if isinstance(one, (QuanConv, QuanLinear))]
    handles = [layer.register_forward_pre_hook(fit) for layer in layers]
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None
    model.train()(images)
    for handle in handles:
        handle.remove()
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, help="one alone; results hold only that")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--megabytes", type=float, default=25.0, help="budget for each image")
    parser.add_argument("--layer-trials", type=int, default=4, help="for each layer of the study")
    options = arguments(parser, 15)
    tables: Dict[str, List[Row]] = {"": [], "_memory": [], "_layer": []}
    for name in [options.network] if options.network else NETWORKS:
        torch.manual_seed(0)
        images = torch.randn(options.images, 3, 32, 32).to(options.device)
        make, fitted = NETWORKS[name]
        model = make().eval().to(options.device)
        model = calibrated(model, images) if fitted else model
        with both_ways(model, images, options.megabytes) as runs:
            tables[""] += [(name, *row) for row in by_upsets(runs, UPSETS, options.repeats)]
            tables["_layer"].append((name, *by_layer(runs, options.layer_trials)))
        tables["_memory"] += [(name, *r) for r in by_memory(model, images, options.repeats)]
    shares = ("share reused", "share masked")
    trial = ("upsets", "whole, ms", "reuse, ms", "ratio", "ratio of sums", *shares, "kept, MB")
    columns = {
        "": ("network", *trial),
        "_memory": ("network", "MB an image", *trial),
        "_layer": ("network", "layers", "trials", "whole, s", "reuse, s", "ratio", *shares),
    }
    for table, rows in tables.items():
        title = f"Trials of {options.images} images{table.replace('_', ', by ')}"
        report(f"trial_cost{table}", options.device, title, columns[table], rows)


if __name__ == "__main__":
    main()
