"""What wraps a model changes neither the names of its sites nor its upsets."""

import itertools

import pytest
import torch
from torch import nn

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import SiteError

pytestmark = pytest.mark.filterwarnings("ignore:torch.ao", "ignore:FSDP is switching")


@pytest.fixture(autouse=True)
def process_group(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.fixture(autouse=True)
def fresh_dynamo():
    yield
    if hasattr(torch, "compile"):
        torch._dynamo.reset()


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv2, self.fc = nn.Conv2d(1, 6, 3), nn.Linear(6, 5)

    def forward(self, x):
        return self.fc(self.conv2(x).relu().mean((2, 3)))


def floats():
    torch.manual_seed(0)
    return Plain().eval()


def torch_ao():
    ao = pytest.importorskip("torch.ao.quantization")
    model = floats().train()
    model.qconfig = ao.QConfig(
        activation=nn.Identity, weight=ao.default_per_channel_weight_fake_quant
    )
    model = ao.prepare_qat(model)
    with torch.no_grad():
        model(toy.batch())
    return model.eval().apply(ao.disable_observer)


MODELS = {"rfquant": toy.net, "torch.ao": torch_ao, "float": floats}


def ddp(model):
    return nn.parallel.DistributedDataParallel(model)


def compiled(model):
    if not hasattr(getattr(torch, "compiler", None), "is_compiling"):
        pytest.skip("needs torch.compiler.is_compiling (torch 2.1)")
    return torch.compile(model, backend="eager")


def fsdp(model):
    """On one rank, on a CPU."""
    if not hasattr(torch, "compile"):
        pytest.skip("torch 1.13 wants a GPU for FSDP")
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=True)


def checkpoint(model):
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    return checkpoint_wrapper(model)


WRAPPERS = {
    "DataParallel": nn.DataParallel,
    "DDP": ddp,
    "compile": compiled,
    "FSDP": fsdp,
    "checkpoint": checkpoint,
}
PAIRS = [*((name,) for name in WRAPPERS), *itertools.permutations(WRAPPERS, 2)]


def faulted(model, kind):
    quantizer = "float" if kind == "float" else None
    with FaultInjector(model, ber=1e-2, seed=1, quantizer=quantizer) as injector, torch.no_grad():
        output = model(toy.batch())
    return output, list(injector.statistics()), injector.faults()


def check(model, kind):
    bare, wrapped = faulted(MODELS[kind](), kind), faulted(model, kind)
    assert wrapped[1:] == bare[1:] and bare[2]
    assert torch.equal(wrapped[0].nan_to_num(), bare[0].nan_to_num())


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
@pytest.mark.parametrize("kind", MODELS)
def test_around_the_model(kind, names):
    model = MODELS[kind]()
    for name in names:
        model = WRAPPERS[name](model)
    check(model, kind)


@pytest.mark.parametrize("name", ["compile", "FSDP", "checkpoint"])
@pytest.mark.parametrize("kind", MODELS)
def test_around_a_layer(kind, name):
    model = MODELS[kind]()
    model.conv2 = WRAPPERS[name](model.conv2)
    check(model, kind)


def test_weights_in_pieces_are_refused():
    sharding = pytest.importorskip("torch.distributed.fsdp")
    if not hasattr(sharding, "fully_shard"):
        pytest.skip("fully_shard is of torch 2.6")
    model = toy.net()
    sharding.fully_shard(model)
    with pytest.raises(SiteError, match="fully_shard keeps weights in pieces"):
        FaultInjector(model, ber=0.1)
    with torch.no_grad():
        model(toy.batch())
