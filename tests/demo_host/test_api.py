"""The Python API on the demo host's own model, checkpoint and validate."""

import re
import textwrap
from pathlib import Path

import pytest

HEAD = """
import sys, copy
sys.path.insert(0, {folder!r})
import rfquant_hooks
rfquant_hooks.instrument()
import torch
from pathlib import Path
from util.config import _config
import yaml
from main import build
from process import validate
from util import init_dataloader, load_checkpoint
from util.qat import set_bit_width
from util.fault_injector import (
    FaultInjector, load_bit_width_config_from_json, setup_model_with_bit_width_config,
)
folder = Path({folder!r})
configs = _config(yaml.safe_load((folder / "template.yaml").read_text()))
configs.distributed = False
_, target = build(configs)
load_checkpoint(folder / configs.resume.path, _, target)
model = target.ema
train_loader, test_loader = init_dataloader(configs.dataloader)
json_path = str(folder / "search/resnet18_digits_bit_width_config.json")

def evaluate_model():
    weights, activations = load_bit_width_config_from_json(json_path)
    return validate(test_loader, model, None, -1, [], configs, train_loader=train_loader,
                    eval_predefined_arch=[(weights, activations)])[0]
"""

CASES = {
    "mixed precision": """
setup_model_with_bit_width_config(model, json_path=json_path, config_index=0, verbose=True)
injector = FaultInjector(model=model, mode="ber", ber=1e-2, enable_in_training=False,
                         enable_in_inference=True, seed=42)
inputs = next(iter(test_loader))[0]
model.eval()
with torch.no_grad():
    clean = model(inputs)
injector.enable()
with torch.no_grad():
    output = model(inputs)
injector.disable()
with torch.no_grad():
    assert torch.equal(model(inputs), clean) and not torch.equal(output, clean)
""",
    "widths by hand": """
weight_bits, act_bits = load_bit_width_config_from_json(json_path, config_index=0)
set_bit_width(model, weight_bits, act_bits)
injector = FaultInjector(model, mode="ber", ber=1e-2)
injector.enable()
model(next(iter(test_loader))[0])
injector.disable()
assert injector.statistics()["layer1.0.conv1"].widths == (4,)
""",
    "different BERs": """
setup_model_with_bit_width_config(model, json_path)
baseline = evaluate_model()
drops = []
for ber in [1e-8, 1e-4, 1e-2, 1e-1]:
    injector = FaultInjector(model=model, mode="ber", ber=ber, enable_in_inference=True, seed=42)
    injector.enable()
    faulted = evaluate_model()
    injector.disable()
    drops.append(baseline - faulted)
    print(f"BER={ber:.1e}, Accuracy: {faulted:.2f}%, Drop: {drops[-1]:.2f}%")
assert drops[0] == 0.0 and drops[-1] > 50.0, drops
""",
    "training loop": """
setup_model_with_bit_width_config(model, json_path, verbose=False)
model = copy.deepcopy(model)
for p in model.parameters():
    p.requires_grad_(True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
criterion = torch.nn.CrossEntropyLoss()
injector = FaultInjector(model=model, mode="ber", ber=1e-3, enable_in_training=True,
                         enable_in_inference=True)
injector.enable()
for epoch in range(1):
    model.train()
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
model.eval()
with torch.no_grad():
    for inputs, targets in test_loader:
        model(inputs)
injector.disable()
assert injector.statistics()["fc"].maps == len(train_loader) + 1
""",
    "quantizers outside the layers": """
from util.qat import auxiliary_quantized_loss
setup_model_with_bit_width_config(model, json_path, verbose=False)
clean = auxiliary_quantized_loss(model)
with FaultInjector(model, ber=0.1, seed=1):
    model(next(iter(test_loader))[0])
    assert torch.equal(auxiliary_quantized_loss(model), clean)
""",
    "fake-quantized weights are codes times the step size, bit for bit": """
for module in model.modules():
    quantizer = getattr(module, "quan_w_fn", None)
    if quantizer is None:
        continue
    for bits in quantizer.bit_list:
        step = quantizer.get_scale(bits)
        value = quantizer(module.weight, bits).detach()
        assert torch.equal(torch.round(value / step) * step, value)
""",
}

README = Path(__file__).resolve().parents[2] / "README.md"
CASES["the README"] = textwrap.dedent(
    re.findall(r"^ *```python\n(.*?)^ *```$", README.read_text(), re.M | re.S)[1]
)


@pytest.mark.parametrize("case", CASES)
def test_documented_use(demo, case):
    script = demo.folder.parent / "api.py"
    script.write_text(HEAD.format(folder=str(demo.folder)) + CASES[case])
    demo.call(script)
