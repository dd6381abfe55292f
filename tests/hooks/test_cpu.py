"""A host written for CUDA, on the CPU: what is replaced, and that it is put back."""

import importlib
import inspect
import os
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rfquant_hooks import cpu

DIST = """
import os
import torch
import torch.distributed as distributed
def init_dist_nccl_backend(configs):
    configs.device = "cuda:%d" % configs.local_rank
    torch.cuda.set_device(configs.local_rank)
    distributed.init_process_group(backend="nccl", init_method="env://")
"""
MAIN = """
from types import SimpleNamespace
import torch
from torch.nn.parallel import DistributedDataParallel
from process import validate
from util.config import get_config
from util.dist import init_dist_nccl_backend
configs = get_config()
configs.distributed, configs.local_rank = True, 0
init_dist_nccl_backend(configs)
assert configs.distributed
model = DistributedDataParallel(torch.nn.Linear(2, 1).cuda(), device_ids=[configs.local_rank])
out = model(torch.ones(1, 2).cuda(non_blocking=True)).to(configs.device)
print(configs.device, out.device, torch.distributed.get_backend(), torch.cuda.is_available())
"""
REPLACED = [
    (torch.cuda, "is_available"),
    (torch.cuda, "device_count"),
    (torch.cuda, "set_device"),
    (torch.nn.Module, "cuda"),
    (torch.Tensor, "cuda"),
    (dist, "init_process_group"),
    (DistributedDataParallel, "__init__"),
]
BY_NAME = pytest.mark.parametrize("owner,name", REPLACED, ids=lambda x: getattr(x, "__name__", x))


@pytest.fixture
def without_cuda(monkeypatch):
    monkeypatch.setattr(cpu, "declare_missing_operators", lambda: None)
    changes = cpu.WithoutCuda()
    changes.prepare()
    yield changes
    changes.undo()


@pytest.fixture
def placed(imported, without_cuda):
    text = "def init_dist_nccl_backend(configs):\n    configs.device = 'cuda:0'\n"
    imported.write("util/dist.py", text)
    imported.write("extra.py", "from util.dist import init_dist_nccl_backend\n")
    extra = importlib.import_module("extra")
    original = extra.init_dist_nccl_backend
    without_cuda.place_host()
    return extra, original, without_cuda


# What is replaced


def test_a_module_stays(without_cuda):
    module = torch.nn.Linear(1, 1)
    assert module.cuda() is module


@pytest.mark.parametrize("arguments", [{}, {"non_blocking": True}, {"device": 0}], ids=str)
def test_a_tensor_stays(without_cuda, arguments):
    tensor = torch.ones(1)
    assert tensor.cuda(**arguments) is tensor


def test_a_parameter_stays(without_cuda):
    parameter = torch.nn.Parameter(torch.ones(1))
    assert parameter.cuda() is parameter


def test_choosing_a_device_does_nothing(without_cuda):
    assert torch.cuda.set_device(3) is None


def test_cuda_is_not_to_be_seen(without_cuda):
    seen = (torch.cuda.is_available(), torch.cuda.device_count())
    assert (*seen, os.environ["CUDA_VISIBLE_DEVICES"]) == (False, 0, "")


@pytest.mark.parametrize(
    "backend,used",
    [
        (None, "gloo"),
        ("nccl", "gloo"),
        ("NCCL", "gloo"),
        ("cpu:gloo,cuda:nccl", "gloo"),
        ("mpi", "mpi"),
    ],
)
def test_gloo_takes_the_place_of_nccl(backend, used):
    init = cpu._with_gloo(lambda backend, *args, **kwargs: (backend, args, kwargs))
    assert init(backend, "env://", rank=0) == (used, ("env://",), {"rank": 0})


@pytest.mark.parametrize("device,ids", [("cpu", None), ("meta", [0])])
def test_a_module_on_the_cpu_is_given_no_device(device, ids):
    seen = []
    init = cpu._on_cpu(lambda self, module, device_ids, output_device: seen.append(device_ids))
    init(None, torch.nn.Linear(1, 1, device=device), device_ids=[0])
    assert seen == [ids]


def test_the_host_is_placed_on_the_cpu(placed):
    extra, _, _ = placed
    configs = SimpleNamespace()
    extra.init_dist_nccl_backend(configs)
    assert configs.device == "cpu"


def test_a_host_that_chooses_no_device_is_left(imported, without_cuda):
    imported.write("util/dist.py", "def init(configs): ...\n")
    init = importlib.import_module("util.dist").init
    without_cuda.place_host()
    assert importlib.import_module("util.dist").init is init


# Undo


@BY_NAME
def test_undo_puts_the_attribute_back(monkeypatch, owner, name):
    monkeypatch.setattr(cpu, "declare_missing_operators", lambda: None)
    before = vars(owner).get(name), getattr(owner, name)
    changes = cpu.WithoutCuda()
    changes.prepare()
    assert getattr(owner, name) is not before[1]
    changes.undo()
    assert (vars(owner).get(name), getattr(owner, name)) == before


@pytest.mark.parametrize("value", [None, "1"])
def test_undo_puts_the_environment_back(monkeypatch, value):
    monkeypatch.setattr(cpu, "declare_missing_operators", lambda: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    changes = cpu.WithoutCuda()
    changes.prepare()
    changes.undo()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == value


def test_undo_puts_the_host_back(placed):
    extra, original, without_cuda = placed
    without_cuda.undo()
    assert extra.init_dist_nccl_backend is original


# Operators


@pytest.fixture
def torchvision(tmp_path, monkeypatch):
    """A torchvision that describes an operator which it could not load."""
    monkeypatch.syspath_prepend(str(tmp_path))
    kept = {n: sys.modules.pop(n) for n in list(sys.modules) if n.split(".")[0] == "torchvision"}
    package = tmp_path / "torchvision"
    package.mkdir()
    yield package / "__init__.py"
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.modules.update(kept)


needs_define = pytest.mark.skipif(
    "qualname" not in inspect.signature(torch.library.define).parameters,
    reason="torch 1 declares no operators by name",
)


@needs_define
def test_an_operator_that_torchvision_misses_is_declared(torchvision):
    name = "missing_for_tests"
    torchvision.write_text(
        "import torch\n"
        f"if not hasattr(torch.ops.torchvision, {name!r}):\n"
        f"    raise RuntimeError('operator torchvision::{name} does not exist')\n"
    )
    cpu.declare_missing_operators()
    assert "torchvision" in sys.modules


def test_another_failure_of_torchvision_is_shown(torchvision):
    torchvision.write_text("raise RuntimeError('of another kind')\n")
    with pytest.raises(RuntimeError, match="of another kind"):
        cpu.declare_missing_operators()


def test_a_torchvision_that_cannot_be_imported_is_left_to_the_host(torchvision):
    torchvision.write_text("import no_such_module_for_tests\n")
    assert cpu.declare_missing_operators() is None


# The launcher


def test_a_host_written_for_cuda_runs(host):
    host.write("util/dist.py", DIST)
    host.write("main.py", MAIN)
    run = host.rfquant_run("--cpu", "main.py")
    assert run.stdout.splitlines()[-1:] == ["cpu cpu gloo False"], run.stderr


def test_without_the_option_nothing_is_replaced(host):
    host.write("main.py", "import sys\nprint('rfquant_hooks.cpu' in sys.modules)\n")
    assert host.rfquant_run("main.py").stdout == "False\n"


def test_the_launcher_puts_everything_back(host):
    code = """
import torch
from rfquant_hooks.launcher import main
before = torch.nn.Module.cuda, torch.cuda.is_available
main(["--cpu", "main.py"])
print((torch.nn.Module.cuda, torch.cuda.is_available) == before)
"""
    assert host.python("-c", code).stdout.endswith("True\n")
