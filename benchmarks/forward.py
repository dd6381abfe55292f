"""A whole LSQ ResNet-18 forward (32x32): clean, under static and under fresh maps.

    python benchmarks/forward.py [--repeats 9] [--device cuda]

Everything in one process, in turns: clean and injected forwards alternate, so that both meet the
same machine. Ratios are medians of injected over clean.
"""

from __future__ import annotations

import argparse

import torch
from common import arguments, in_turns, report
from dense_mask import injected
from lsq_resnet import LsqResNet18

from seu_plugin import FaultInjector

BATCHES = (1, 16, 64)
RATES = (1e-8, 1e-6, 1e-4, 1e-2)


def main() -> None:
    options = arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]), 9)
    device, repeats = options.device, options.repeats
    torch.manual_seed(0)
    model = LsqResNet18().eval().to(device)
    rows = []
    for batch in BATCHES:
        x = torch.randn(batch, 3, 32, 32, device=device)

        def forward(_: int, x: torch.Tensor = x) -> None:
            with torch.no_grad():
                model(x)

        for persistence in ("static", "per_forward"):
            for cache in (True, False):
                for ber in RATES if cache else RATES[2:3]:
                    injector = FaultInjector(
                        model, ber=ber, seed=1, persistence=persistence, weight_cache=cache
                    )
                    clean, ours = in_turns(
                        forward, injector, repeats * (4 if batch == 1 else 1), device
                    )
                    name = f"{persistence}{'' if cache else ', no cache'}"
                    rows.append((batch, name, ber, clean, ours, ours / clean))
        clean, dense = in_turns(forward, injected(model, 1e-4), 3, device, once=True)
        rows.append((batch, "dense mask", 1e-4, clean, dense, dense / clean))
    columns = ("batch", "maps", "BER", "clean, ms", "injected, ms", "ratio")
    report("forward", device, "LSQ ResNet-18, 11.7 M words, forward, medians", columns, rows)


if __name__ == "__main__":
    main()
