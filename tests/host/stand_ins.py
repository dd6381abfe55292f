"""rfquant-run for the real host, with what a test machine lacks replaced.

    python stand_ins.py [--record FILE] [rfquant-run arguments ...]
    python stand_ins.py --tool [arguments of tools/test_fault_injector.py ...]

Pretrained weights give way to a narrow, untrained ResNet-18, 224-pixel transforms to 32 pixels.
``--record`` writes, for every call of a weight quantizer in validate, one JSON line of what the
caller was given.
"""

import importlib.util
import json
import sys
from pathlib import Path

import torch

from rfquant_hooks import hookimpl
from rfquant_hooks.cpu import declare_missing_operators
from rfquant_hooks.launcher import launch, parse

ROOT = Path(__file__).resolve().parents[2]
SIDE = 32


def module_from(path):
    spec = importlib.util.spec_from_file_location(f"stand_in_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def narrow_resnet18(*args, **kwargs):
    demo = module_from(ROOT / "examples" / "demo_host" / "model" / "__init__.py")
    torch.manual_seed(0)
    model = demo.create_model("resnet18_digits")
    model.conv1 = torch.nn.Conv2d(3, model.conv1.out_channels, 3, 2, 1, bias=False)
    return model


def replace():
    declare_missing_operators()
    import timm
    import torchvision

    timm.create_model = narrow_resnet18
    transforms = torchvision.transforms
    for name in ("RandomResizedCrop", "Resize", "CenterCrop"):
        base = getattr(transforms, name)
        setattr(transforms, name, lambda size, *a, base=base, **k: base(SIDE, *a, **k))


class NoDownload:
    """The host's MobileNetV2 reads its pretrained weights from a fixed place: it gets none."""

    @hookimpl
    def rfquant_configure(self, config, manager):
        models = sys.modules["model.model"]
        untrained = models.mobilenet_v2
        models.mobilenet_v2 = lambda pretrained=False: untrained(pretrained=False)


class Recorder:
    """What each weight quantizer gave to its caller while validate ran."""

    def __init__(self, path):
        self.path = path

    @hookimpl(tryfirst=True)
    def rfquant_run_phase(self, phase, run):
        if phase.name != "validate":
            return None
        root = getattr(phase.model, "module", phase.model)
        norms = [m for m in root.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        inside, handles = [], []
        sink = Path(self.path).open("a", encoding="utf-8")  # noqa: SIM115 - till the end

        def record(name, quantizer, args, weight):
            width = int(args[1])
            clean = type(quantizer).forward(quantizer, args[0], width)
            codes = [torch.round(w / quantizer.get_scale(width)).int() for w in (clean, weight)]
            changed = codes[0] ^ codes[1]
            line = {
                "name": name,
                "width": width,
                "in_layer": bool(inside),
                "calibrating": any(norm.training for norm in norms),
                "upsets": sum(int((changed >> bit & 1).sum()) for bit in range(width)),
                "bits": width * weight.numel(),
            }
            sink.write(json.dumps(line) + "\n")
            sink.flush()

        for name, module in root.named_modules():
            if hasattr(module, "quan_w_fn"):
                handles += [
                    module.register_forward_pre_hook(lambda *_: inside.append(1)),
                    module.register_forward_hook(lambda *_: inside.pop() and None),
                    module.quan_w_fn.register_forward_hook(
                        lambda q, a, out, name=name: record(name, q, a, out)
                    ),
                ]
        self.handles = handles
        return None


def main():
    arguments = sys.argv[1:]
    plugins = [NoDownload()]
    if arguments[:1] == ["--record"]:
        plugins.append(Recorder(arguments[1]))
        del arguments[:2]
    replace()
    if arguments[:1] == ["--tool"]:
        return module_from(ROOT / "tools" / "test_fault_injector.py").main(arguments[1:])
    options = parse(arguments)
    blocked = [name[3:] for name in options.plugins]
    return launch(
        options.script, options.args, blocked, options.unrepaired, options.cpu, plugins=plugins
    )


if __name__ == "__main__":
    sys.exit(main())
