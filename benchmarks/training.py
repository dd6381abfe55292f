"""A fault-aware training step of an LSQ ResNet-18 (32x32): forward, backward, SGD.

python benchmarks/training.py [--repeats 7] [--device cuda]
"""

from __future__ import annotations

import argparse

import torch
from common import arguments, in_turns, report
from dense_mask import injected
from lsq_resnet import LsqResNet18
from torch.nn import functional as F

from seu_plugin import FaultInjector

BATCHES = (16, 64)
RATES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2)


def main() -> None:
    options = arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]), 7)
    device, repeats = options.device, options.repeats
    torch.manual_seed(0)
    model = LsqResNet18().train().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    rows = []
    for batch in BATCHES:
        x = torch.randn(batch, 3, 32, 32, device=device)
        target = torch.randint(0, 1000, (batch,), device=device)

        def step(_: int, x: torch.Tensor = x, target: torch.Tensor = target) -> None:
            optimizer.zero_grad()
            F.cross_entropy(model(x), target).backward()
            optimizer.step()

        for ber in RATES:
            injector = FaultInjector(model, ber=ber, seed=1)
            clean, ours = in_turns(step, injector, repeats, device)
            rows.append((batch, "fresh", ber, clean, ours, ours / clean))
        clean, dense = in_turns(step, injected(model, 1e-4), 3, device, once=True)
        rows.append((batch, "dense mask", 1e-4, clean, dense, dense / clean))
    columns = ("batch", "maps", "BER", "clean, ms", "injected, ms", "ratio")
    report("training", device, "LSQ ResNet-18, training step, medians", columns, rows)


if __name__ == "__main__":
    main()
