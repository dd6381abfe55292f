#!/usr/bin/env python3
"""Does the injector do what it says, on this host, with this model?

Run it in the folder of a host (RFQuant, or examples/demo_host)::

    python tools/test_fault_injector.py --config configs/eval/eval.yaml \\
        --bit_width_config search/x_bit_width_config.json --ber 1e-3 --enable_in_inference

The host's own main.py builds the model, loads the checkpoint and its data (random input if the
data set is not there, and the output says so). Where it would evaluate, the same batches run
clean, faulted, faulted again and restored. Exit code: 0 if every verdict holds, 1 if one does
not, 2 if the test could not be made.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import torch
import yaml
from rich.console import Console
from rich.table import Table

from rfquant_hooks.contract import (
    BitWidths,
    Phase,
    PhaseOutcome,
    PluginError,
    hookimpl,
    setting,
)
from rfquant_hooks.launcher import launch
from rfquant_hooks.patching import Patches
from seu_plugin import FaultInjector
from seu_plugin.errors import ConfigError, InjectionError
from seu_plugin.host.runtime import find_file
from seu_plugin.injection.devices import rank
from seu_plugin.injection.table import injection_table
from seu_plugin.quantizers.bit_widths import apply_bit_widths, check_bit_widths, read_bit_widths
from seu_plugin.quantizers.contract import Site
from seu_plugin.settings.section import SECTION, parse_settings

Batch = Tuple[torch.Tensor, torch.Tensor]


def up_to(most: int) -> Callable[[str], int]:
    """A type of argument: an integer in 1 ... ``most``."""

    def number(text: str) -> int:
        if not text.isdecimal() or len(text) > 12 or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be in 1 ... {most}; received {text[:40]!r}")
        return int(text)

    return number


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config",
        nargs="+",
        required=True,
        metavar="YAML",
        help="the host's configuration; later files win",
    )
    parser.add_argument(
        "--bit_width_config",
        metavar="JSON",
        help="searched bit widths to apply (the YAML section's)",
    )
    parser.add_argument(
        "--config_index",
        type=int,
        default=0,
        metavar="N",
        help="which configuration of the JSON (0)",
    )
    parser.add_argument("--ber", default="1e-3", help="bit error rate (1e-3)")
    parser.add_argument("--seed", type=int, default=42, help="seed of the fault maps (42)")
    parser.add_argument("--checkpoint", metavar="PATH", help="in place of the YAML's resume.path")
    parser.add_argument(
        "--enable_in_inference",
        action="store_true",
        help="test in eval mode (the default if neither is given)",
    )
    parser.add_argument(
        "--enable_in_training",
        action="store_true",
        help="test a training step: upsets, then gradients",
    )
    parser.add_argument(
        "--batches", type=up_to(10_000), default=2, metavar="N", help="batches to run (2)"
    )
    parser.add_argument(
        "--image_size",
        type=up_to(8192),
        default=224,
        metavar="N",
        help="side of random input, without a data set (224)",
    )
    parser.add_argument(
        "--host",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the host's folder (the working directory)",
    )
    parser.add_argument("--cpu", action="store_true", help="run a host written for CUDA without it")
    options = parser.parse_args(argv)
    if not options.enable_in_training:
        options.enable_in_inference = True
    return options


class InjectorTest:
    """Stands where the host would evaluate, and tests the injector there."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.settings: Dict[str, Any] = {"ber": options.ber, "seed": options.seed}
        parse_settings(self.settings)  # a mistake costs a second
        self.widths: Optional[BitWidths] = None
        if options.bit_width_config is not None:
            self.widths = read_bit_widths(options.bit_width_config, options.config_index)
        self.verdicts: List[Tuple[str, bool, str]] = []
        self._undo = ExitStack()

    @hookimpl
    def rfquant_configure(self, config: Any) -> None:
        """Without the option, the widths are those of the YAML's section."""
        section = setting(config, SECTION)
        source = section.get("bit_width_config") if isinstance(section, Mapping) else None
        if self.widths is None and isinstance(source, Mapping):
            path = find_file(str(source.get("path")), self.options.host)
            self.widths = read_bit_widths(path, int(source.get("index", 0)))
        said = "the host's own" if self.widths is None else self.widths.source
        say(f"bit widths: {said}")

    @hookimpl
    def rfquant_bit_widths(self, config: Any) -> Optional[BitWidths]:
        return self.widths

    @hookimpl
    def rfquant_model_built(self, config: Any, model: Any) -> None:
        if self.widths is not None:
            check_bit_widths(model, self.widths)
        loader = sys.modules.get("util.data_loader")
        original = getattr(loader, "init_dataloader", None)
        if loader is not None and original is not None:
            patches = Patches()
            patches.replace(loader, original, self._or_random(original))
            self._undo.callback(patches.undo)

    @hookimpl
    def rfquant_run_phase(
        self, phase: Phase, run: Callable[[], PhaseOutcome]
    ) -> Optional[PhaseOutcome]:
        if phase.name != "validate" or self.verdicts:
            return None
        if phase.bit_widths is not None:
            apply_bit_widths(phase.model, phase.bit_widths)
        loader = next(iter(phase.arguments.values()))
        device = next(phase.model.parameters()).device
        batches = [
            (images.to(device), labels.to(device))
            for _, (images, labels) in zip(range(self.options.batches), loader)
        ]
        if not batches:
            raise InjectionError("the host's data loader gave no batch")
        # The same convolution each time, so that outputs can be compared bit for bit.
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True):
            if self.options.enable_in_inference:
                self._test_inference(phase.model, batches)
            if self.options.enable_in_training:
                self._test_training(phase.model, batches[0])
        return PhaseOutcome([])

    @hookimpl
    def rfquant_unconfigure(self, error: Optional[BaseException]) -> None:
        self._undo.close()
        if error is None and not self.verdicts:
            raise InjectionError("the host ended without an evaluation, so nothing was tested")

    def _or_random(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The host's loaders, or five of random input in their order if there is no data."""

        @functools.wraps(original)
        def init_dataloader(cfg: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(cfg, *args, **kwargs)
            except FileNotFoundError as error:
                say(f"no data set ({error}): random input in its place, accuracies mean nothing")
            size = min(int(cfg.batch_size), 16)
            shape = (size * self.options.batches, 3, self.options.image_size)
            images = torch.randn(*shape, self.options.image_size)
            labels = torch.randint(int(cfg.num_classes), (len(images),))
            data = torch.utils.data.TensorDataset(images, labels)
            sampler = torch.utils.data.SequentialSampler(data)
            loader = torch.utils.data.DataLoader(data, size, sampler=sampler)
            return loader, loader, loader, sampler, sampler

        return init_dataloader

    def _test_inference(self, model: Any, batches: List[Batch]) -> None:
        model.eval()
        forward(model, batches)  # step sizes that data initializes are set from clean data
        state = snapshot(model)
        clean, before = forward(model, batches), Codes(FaultInjector(model, **self.settings).sites)
        with before.recorded():
            forward(model, batches[:1])
        injector = FaultInjector(model, **self.settings)
        after = Codes(injector.sites)
        injector.enable()
        try:
            faulted = forward(model, batches)
            with after.recorded():
                forward(model, batches[:1])
        finally:
            injector.disable()
        restored = forward(model, batches)
        with FaultInjector(model, **self.settings):
            again = forward(model, batches)

        sites = injector.statistics()
        if rank() == 0:
            Console(width=100).print(
                injection_table(list(sites.values()), injector.settings.amount, injector.seed)
            )
        labels = torch.cat([labels for _, labels in batches])
        self._differences(torch.cat(clean), torch.cat(faulted), labels)
        made = sum(s.upsets for s in sites.values())
        found = after.bits_changed_since(before)
        hint = "; raise --ber to see some" if not made else ""
        self._verdict(
            "injected", 0 < made == found, f"{made} upsets drawn, {found} stored bits changed{hint}"
        )
        left = [name for name, module in model.named_modules() if "forward" in vars(module)]
        exactly = same(clean, restored) and unchanged(model, state) and not left
        self._verdict("restored exactly", exactly, "outputs, state_dict and forwards as before")
        self._verdict("reproducible", same(faulted, again), "the same seed gives the same outputs")

    def _test_training(self, model: Any, batch: Batch) -> None:
        state, grads = snapshot(model), {n: p.requires_grad for n, p in model.named_parameters()}
        model.requires_grad_(True).train()
        try:
            with FaultInjector(model, **self.settings) as injector:
                images, labels = batch
                torch.nn.functional.cross_entropy(model(images), labels).backward()
            sites = injector.sites
            given = [s.layer.weight.grad for s in sites]
            flows = all(g is not None and bool(torch.isfinite(g).all()) for g in given)
        finally:
            model.eval()
            for name, parameter in model.named_parameters():
                parameter.grad = None
                parameter.requires_grad_(grads[name])
            model.load_state_dict(state)
        made = sum(s.upsets for s in injector.statistics().values())
        looked = f"{made} upsets in the forward, finite gradients at {len(sites)} sites"
        self._verdict("training step", made > 0 and flows, looked)

    def _differences(
        self, clean: torch.Tensor, faulted: torch.Tensor, labels: torch.Tensor
    ) -> None:
        first, then = clean.argmax(1), faulted.argmax(1)
        say(f"largest change of an output: {float((clean - faulted).abs().max()):.4g}")
        say(f"top-1 changed for {int((first != then).sum())} of {len(labels)} images")
        accuracies = [100.0 * float((top == labels).float().mean()) for top in (first, then)]
        say("top-1 on them: clean {:.2f} %, faulted {:.2f} %".format(*accuracies))

    def _verdict(self, name: str, holds: bool, why: str) -> None:
        self.verdicts.append((name, holds, why))

    def report(self) -> bool:
        """Print the verdicts; whether all hold."""
        table = Table(title="Verdicts", title_justify="left")
        for column in ("", "holds", "what was looked at"):
            table.add_column(column)
        for name, holds, why in self.verdicts:
            table.add_row(name, "yes" if holds else "NO", why)
        if rank() == 0:
            Console(width=100).print(table)
        return all(holds for _, holds, _ in self.verdicts)


class Codes:
    """The codes that each site's layer was given in its last forward."""

    def __init__(self, sites: Tuple[Site, ...]) -> None:
        self._sites = sites
        self._codes: Dict[str, Tuple[torch.Tensor, int]] = {}

    def recorded(self) -> ExitStack:
        handles = ExitStack()
        for site in self._sites:
            hook = functools.partial(self._record, site)
            handles.callback(site.quantizer.register_forward_hook(hook).remove)
        return handles

    def _record(self, site: Site, quantizer: Any, args: Any, result: Any) -> None:
        width = site.width_of(args, {})
        grid, weight = site.grid(width), site.value_of(result).detach()
        codes = replace(grid, narrow=False).codes(weight).to(torch.int64)
        self._codes[site.name] = codes & ((1 << width) - 1), width

    def bits_changed_since(self, before: Codes) -> int:
        changed = 0
        for name, (codes, width) in self._codes.items():
            flipped = codes ^ before._codes[name][0]
            changed += sum(int((flipped >> bit & 1).sum()) for bit in range(width))
        return changed


def forward(model: Any, batches: List[Batch]) -> List[torch.Tensor]:
    with torch.no_grad():
        return [model(images) for images, _ in batches]


def same(one: List[torch.Tensor], other: List[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other))


def snapshot(model: Any) -> Dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def unchanged(model: Any, state: Dict[str, torch.Tensor]) -> bool:
    now = model.state_dict()
    return list(now) == list(state) and all(torch.equal(now[n], v) for n, v in state.items())


def say(line: str) -> None:
    if rank() == 0:
        print(line, flush=True)


def main(argv: Optional[List[str]] = None) -> int:
    options = parse(argv)
    script = options.host / "main.py"
    try:
        for path in [script, *map(Path, options.config), *filter(None, [options.checkpoint])]:
            if not Path(path).is_file():
                raise ConfigError(f"{path}: no such file")
        test = InjectorTest(options)
    except PluginError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    overlay: Dict[str, Any] = {"eval": True, "search": False}
    if options.checkpoint is not None:
        overlay["resume"] = {"path": str(Path(options.checkpoint).resolve())}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test_fault_injector.yaml"
        path.write_text(yaml.safe_dump(overlay), encoding="utf-8")
        arguments = [*options.config, str(path)]
        code = launch(str(script), arguments, ["seu"], cpu=options.cpu, plugins=[test])
    if code:
        return code
    return 0 if test.report() else 1


if __name__ == "__main__":
    sys.exit(main())
