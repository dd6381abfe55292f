"""Injection of a whole ResNet-18-sized model: stream v1 against a dense float32 mask.

    python benchmarks/injection.py [--repeats 9] [--device cuda]

Both change the same fake-quantized weights, again and again, in the same process: fresh maps are
drawn, put where the weights are, and patched in. The dense injector (dense_mask.py) draws a
float32 uniform for every bit and packs int64 bit planes, as published injectors do. A second
table holds the cost against the size of the model.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from types import SimpleNamespace
from typing import Any, Iterator, List

import torch
from common import BERS, RESNET18, arguments, in_rounds, median_ms, report
from dense_mask import upset

from seu_plugin.injection.drawing import MapDrawer
from seu_plugin.injection.placement import PlacedMap, PlacedMasks
from seu_plugin.injection.reading import Reader
from seu_plugin.memory.codecs import codec
from seu_plugin.quantizers.contract import LayerSite
from seu_plugin.quantizers.grid import Grid
from seu_plugin.settings.section import parse_settings

STEP = torch.tensor(1.0)
TWO = codec("twos_complement")


class Model:
    """Fake-quantized weights with step size 1, that is their codes, and what injects them."""

    def __init__(self, device: torch.device, scale: int = 1) -> None:
        generator = torch.Generator().manual_seed(0)
        self.device = device
        self.step = STEP.to(device)
        self.widths = [k for _, _, k in RESNET18]
        self.weights: List[torch.Tensor] = []
        for _, n, k in RESNET18:
            codes = torch.randint(
                -(1 << k - 1),
                1 << k - 1,
                (64, n * scale // 64),
                generator=generator,
                dtype=torch.int8,
            )
            self.weights.append(codes.float().to(device))
        self.bits = sum(w.numel() * k for w, k in zip(self.weights, self.widths))

    def prepare(self, ber: float) -> None:
        settings = parse_settings({"ber": ber, "seed": 7})
        self.drawers, self.readers = [], []
        for weight, (name, _, _) in zip(self.weights, RESNET18):
            self.drawers.append(MapDrawer(name, weight.numel(), settings, 7))
            layer: Any = SimpleNamespace(weight=weight)
            self.readers.append(Reader(LayerSite(name, layer, None)))

    def draw(self, number: int) -> Iterator[Any]:
        """The map of each site, large ones drawn ahead by other threads, as in a forward."""
        sites = list(zip(self.drawers, self.widths))
        on_device = [drawer.draws_on(self.device, k) for drawer, k in sites]
        for (drawer, k), there in zip(sites, on_device):
            if not there and drawer.worth_drawing_ahead(k):
                drawer.draw_ahead(k, number)
        for (drawer, k), there in zip(sites, on_device):
            yield drawer.draw_on(self.device, k, number) if there else drawer.draw(k, number)

    def sample(self, number: int) -> None:
        for _ in self.draw(number):
            pass

    def inject(self, number: int) -> None:
        maps = self.draw(number)
        for weight, reader, drawn, k in zip(self.weights, self.readers, maps, self.widths):
            if isinstance(drawn, torch.Tensor):
                placed: PlacedMap = PlacedMasks(drawn, TWO, k)
            elif drawn.upsets:
                placed = PlacedMap(drawn.map, TWO, k, self.device)
            else:
                continue
            placed.write(weight, reader.faulted(weight, placed, Grid(k, True, self.step)))

    def dense(self, ber: float) -> None:
        for weight, k in zip(self.weights, self.widths):
            weight.copy_(upset(weight, self.step, k, ber))


def against_ber(device: torch.device, repeats: int) -> None:
    model, rows = Model(device), []
    for ber in BERS:
        model.prepare(ber)
        dense = functools.partial(lambda repeat, ber: model.dense(ber), ber=ber)
        # In turns, so that both meet the same machine.
        times = in_rounds([(model.inject, repeats), (model.sample, repeats), (dense, 1)], 5, device)
        ours, alone, theirs = map(statistics.median, times)
        rows.append((ber, theirs, ours, alone, theirs / ours))
    columns = ("BER", "dense mask, ms", "stream v1, ms", "sampling alone, ms", "ratio")
    report("injection", device, f"Injection of {model.bits / 1e6:.1f} Mbit, medians", columns, rows)


def against_size(device: torch.device, repeats: int) -> None:
    rows = []
    for scale in (1, 4, 16):
        model = Model(device, scale)
        for ber in (1e-8, 1e-6, 1e-4, 1e-6 / scale):
            model.prepare(ber)
            ours = median_ms(model.inject, repeats, device)
            words = sum(w.numel() for w in model.weights)
            rows.append((words / 1e6, ber, model.bits * ber, ours))
    columns = ("words, millions", "BER", "expected upsets", "stream v1, ms")
    title = "Cost follows the upsets, not the words (1e-6 / 4 and / 16: as many upsets as at 1x)"
    report("injection_size", device, title, columns, rows)


def main() -> None:
    options = arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]), 9)
    against_ber(options.device, options.repeats)
    against_size(options.device, options.repeats)


if __name__ == "__main__":
    main()
