"""The GPU's fault maps: bit for bit those of the CPU, by Triton's interpreter, and compilable."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import toy
from seu_plugin import FaultInjector
from seu_plugin.faults.fault_map import draw_fault_map
from seu_plugin.faults.seeding import Stream, site_key
from seu_plugin.injection import kernels
from seu_plugin.injection.drawing import MapDrawer

if not kernels.available():
    pytest.skip("needs Triton 3.7, which torch 2.13 for CUDA brings", allow_module_level=True)
masks = importlib.import_module("seu_plugin.injection.kernels.masks")
CPU = torch.device("cpu")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    "words,width,ber,key",
    [
        (9408, 8, 1e-3, (42, "conv1", 0, 0)),
        (5000, 4, 0.1, (2**64 - 1, "fc", 3, 5)),
        (5000, 3, 0.02, (2**63, "layer1.0.conv1", 2**64 - 1, 2**63 + 1)),
        (300, 6, 0.6, (0, "x", 1, 1)),
        (200, 16, 0.97, (1, "x", 0, 0)),
        (1, 1, 0.5, (7, "x", 0, 0)),
        (700, 5, 0.0, (7, "x", 0, 0)),
    ],
)
def test_the_same_map_as_on_the_cpu(words, width, ber, key):
    seed, site, trial, draw = key
    expected = draw_fault_map(Stream(*key), words, width, ber)
    got = (
        masks.draw_masks(expected.upsets, words, width, DEVICE, seed, site_key(site), trial, draw)
        .cpu()
        .numpy()
    )
    dense = np.zeros(words, dtype=np.int32)
    dense[expected.index] = expected.mask
    assert np.array_equal(got, dense)


def test_what_the_wide_rounds_leave_is_drawn_by_the_last(monkeypatch):
    monkeypatch.setattr(masks, "WIDE_ROUNDS", 1)
    monkeypatch.setattr(masks, "BLOCK", 64)
    expected = draw_fault_map(Stream(5, "x"), 400, 4, 0.7)
    got = masks.draw_masks(expected.upsets, 400, 4, DEVICE, 5, site_key("x"), 0, 0).cpu().numpy()
    assert np.array_equal(np.flatnonzero(got), expected.index)
    assert np.array_equal(got[expected.index], expected.mask)


@pytest.fixture
def drawn_by_the_device(monkeypatch):
    monkeypatch.setattr(MapDrawer, "draws_on", lambda self, device, width: True)


def outputs(model, **settings):
    with FaultInjector(model, ber=0.05, seed=3, **settings) as injector, torch.no_grad():
        values = [model(toy.batch().to(DEVICE)) for _ in range(2)]
    return values, injector.statistics()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"persistence": "per_forward"},
        {"persistence": "per_forward", "weight_cache": False},
        {"bits": "msb"},
        {"encoding": "gray"},
    ],
    ids=str,
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_model_under_maps_of_the_device(request, settings, per_channel):
    model = toy.net(per_channel=per_channel).to(DEVICE)
    expected, counted = outputs(model, **settings)
    request.getfixturevalue("drawn_by_the_device")
    got, statistics = outputs(model, **settings)
    assert all(torch.equal(a, b) for a, b in zip(got, expected))
    assert statistics == counted


def test_gradients_under_maps_of_the_device(request):
    def gradients():
        model = toy.net().to(DEVICE).train()
        with FaultInjector(model, ber=0.05, seed=3):
            model(toy.batch().to(DEVICE)).square().sum().backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    expected = gradients()
    request.getfixturevalue("drawn_by_the_device")
    assert all(torch.equal(a, b) for a, b in zip(gradients(), expected))


def test_only_large_maps_on_a_gpu_are_drawn_there():
    def drawer(ber, words=1_000_000):
        model_settings = FaultInjector(toy.net(), ber=ber, seed=0).settings
        return MapDrawer("x", words, model_settings, 0)

    gpu = torch.device("cuda", 0)
    assert drawer(1e-2).draws_on(gpu, 4)
    assert not drawer(1e-2).draws_on(CPU, 4)
    assert not drawer(1e-4).draws_on(gpu, 4)
    assert not drawer(1e-2, words=1000).draws_on(gpu, 4)
    assert not drawer(1.0).draws_on(gpu, 4)


COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from seu_plugin.injection.kernels import masks

for key in ("i64", "i32"):
    for kernel in (masks._wide_round, masks._last_rounds):
        names = dict(masks="*i32", found="*i64", n="i32", rounds="i32", seed=key, site=key)
        names.update(trial="i32", draw=key, bits="i64", width="i32", BLOCK="constexpr")
        source = ASTSource(fn=kernel, signature=names, constexprs={"BLOCK": masks.BLOCK})
        compiled = compile(source, target=GPUTarget("cuda", CAPABILITY, 32))
        assert "atom" in compiled.asm["ptx"] and compiled.asm["cubin"]
"""


@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernels_compile_for_a_gpu(tmp_path, capability):
    script = tmp_path / "compile_kernels.py"
    script.write_text(COMPILE.replace("CAPABILITY", str(capability)))
    environment = {"TRITON_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment, "TRITON_INTERPRET": "0"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
