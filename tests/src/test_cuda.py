"""On a GPU: the same upsets as on the CPU, and nobody waits for the device in a forward."""

import pytest
import torch

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import InjectionError

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def no_waiting():
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


def codes(device, ber, persistence):
    """Codes that conv2 saw in three forwards."""
    model, seen = toy.net().to(device), []
    model.conv2.quan_w_fn.register_forward_hook(lambda m, a, out: seen.append(out.clone()))
    with FaultInjector(model, ber=ber, seed=5, persistence=persistence), torch.no_grad():
        for _ in range(3):
            model(toy.batch().to(device))
    scale = model.conv2.quan_w_fn.get_scale(4)
    return [torch.round(weight / scale).int().cpu() for weight in seen]


@pytest.mark.parametrize("ber", [1e-3, 0.05, 0.5])
@pytest.mark.parametrize("persistence", ["static", "per_forward"])
def test_the_same_codes_as_on_the_cpu(ber, persistence):
    pairs = zip(codes("cpu", ber, persistence), codes("cuda", ber, persistence))
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("ber", [1e-3, 0.05])
@pytest.mark.parametrize("persistence", ["static", "per_forward"])
@pytest.mark.parametrize("by_device", [False, True])
def test_a_forward_does_not_wait(no_waiting, monkeypatch, ber, persistence, by_device):
    if by_device:
        monkeypatch.setattr("seu_plugin.injection.drawing.DEVICE_UPSETS", 0)
    model, x = toy.net().cuda(), toy.batch().cuda()
    with FaultInjector(model, ber=ber, seed=5, persistence=persistence), torch.no_grad():
        model(x)  # compiles kernels, allocates
        no_waiting()
        for _ in range(3):
            model(x)
        torch.cuda.set_sync_debug_mode("default")


def test_a_training_step_does_not_wait_in_its_forward(no_waiting):
    model, x = toy.net().cuda().train(), toy.batch().cuda()
    with FaultInjector(model, ber=0.05, seed=5):
        model(x).sum().backward()
        no_waiting()
        loss = model(x).sum()
        torch.cuda.set_sync_debug_mode("default")
        loss.backward()


def test_weights_that_are_no_codes_are_found_on_disable():
    model = toy.net().cuda()
    model.conv2.quan_w_fn.get_scale = lambda bits, detach=True: torch.tensor(0.0123).cuda()
    with pytest.raises(InjectionError, match="no quantized memory"):
        with FaultInjector(model, ber=0.05, seed=5), torch.no_grad():
            model(toy.batch().cuda())
