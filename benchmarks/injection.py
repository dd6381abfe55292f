"""Injection of a whole ResNet-18-sized model: stream v1 against a dense float32 mask.

    python benchmarks/injection.py [--repeats 7]

Both change the same fake-quantized weights in the same process. The dense injector draws a
float32 uniform for every bit and packs int64 bit planes, as published injectors do.
"""

from __future__ import annotations

import argparse
from typing import List

import torch
from common import RESNET18, median_ms, report

from seu_plugin.codecs import codec
from seu_plugin.fault_map import FaultMap, draw_fault_map
from seu_plugin.seeding import Stream

BERS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
TWO = codec("twos_complement")


def weights() -> List[torch.Tensor]:
    """Fake-quantized weights with step size 1: the codes as float32."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(-(1 << k - 1), 1 << k - 1, (n,), generator=generator).float()
        for _, n, k in RESNET18
    ]


def sample(repeat: int, ber: float) -> List[FaultMap]:
    return [draw_fault_map(Stream(repeat, name), n, k, ber) for name, n, k in RESNET18]


def inject(model: List[torch.Tensor], repeat: int, ber: float) -> None:
    for weight, fault_map, (_, _, k) in zip(model, sample(repeat, ber), RESNET18):
        if fault_map.upsets:
            index, mask = torch.from_numpy(fault_map.index), torch.from_numpy(fault_map.mask)
            stored = TWO.encode(weight.take(index).to(torch.int32), k) ^ mask
            weight.put_(index, TWO.decode(stored, k).float())


def dense(model: List[torch.Tensor], ber: float) -> None:
    for weight, (_, n, k) in zip(model, RESNET18):
        flips = (torch.rand(n, k) < ber).to(torch.int64)
        mask = (flips << torch.arange(k)).sum(1)
        weight.copy_(TWO.decode(TWO.encode(weight.to(torch.int64), k) ^ mask, k).float())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    model = weights()
    rows = []
    for ber in BERS:
        ours = median_ms(lambda r, ber=ber: inject(model, r, ber), repeats)
        alone = median_ms(lambda r, ber=ber: sample(r, ber), repeats)
        theirs = median_ms(lambda r, ber=ber: dense(model, ber), 3)
        rows.append((ber, theirs, ours, alone, theirs / ours))
    columns = ("BER", "dense mask, ms", "stream v1, ms", "sampling alone, ms", "ratio")
    bits = sum(n * k for _, n, k in RESNET18)
    report("injection", f"Injection of {bits / 1e6:.1f} Mbit, medians", columns, rows)


if __name__ == "__main__":
    main()
