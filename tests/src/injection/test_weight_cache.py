"""The quantized weight is kept while nothing can change it, and not a forward longer."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

import toy
from seu_plugin import FaultInjector
from seu_plugin.injection.weight_cache import PROBES, SMALL, WeightCache, _Probe


@pytest.fixture
def quantized(monkeypatch):
    """Weights quantized since the last clear(), as quantizer objects."""
    calls = []
    forward = toy.Quantizer.forward

    def counting(self, x, bits, is_activation=False):
        if not is_activation:
            calls.append(self)
        return forward(self, x, bits, is_activation)

    monkeypatch.setattr(toy.Quantizer, "forward", counting)
    return calls


@torch.no_grad()
def run(model):
    return model(toy.batch())


def injector(model, ber=0.01, **settings):
    return FaultInjector(model, ber=ber, seed=1, **settings)


@pytest.mark.parametrize("ber", [0.0, 1e-3, 0.2])
def test_weights_are_quantized_once_under_a_static_map(quantized, ber):
    model = toy.net()
    with injector(model, ber):
        first = run(model)
        quantized.clear()
        assert torch.equal(run(model), first)
        assert quantized == []


def test_the_switch_turns_it_off(quantized):
    model = toy.net()
    with injector(model, weight_cache=False):
        first = run(model)
        quantized.clear()
        assert torch.equal(run(model), first)
        assert len(quantized) == 4


@pytest.mark.parametrize("persistence", ["static", "per_forward"])
@pytest.mark.parametrize("ber", [1e-3, 0.05, 0.9])
def test_outputs_are_those_without_the_cache(persistence, ber):
    model, settings = toy.net(per_channel=True), {"ber": ber, "persistence": persistence}
    with injector(model, **settings):
        kept = [run(model) for _ in range(4)]
    with injector(model, weight_cache=False, **settings):
        plain = [run(model) for _ in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(kept, plain))


def test_fresh_maps_leave_no_upset_of_the_map_before(quantized):
    model = toy.net()
    quantized.clear()
    with injector(model, 0.02, persistence="per_forward"):
        outputs = [run(model) for _ in range(3)]
        assert len(quantized) == 4
    alone = [injector(model, 0.02, persistence="per_forward", exposure_draw=d) for d in range(3)]
    for output, single in zip(outputs, alone):
        with single:
            assert torch.equal(run(model), output)


def _new_parameter(model):
    model.conv2.weight = torch.nn.Parameter(model.conv2.weight.detach() * 1.5)


def _in_place(model):
    with torch.no_grad():
        model.conv2.weight.mul_(1.5)


def _data(model):
    model.conv2.weight.data.mul_(1.5)


def _new_storage(model):
    model.conv2.weight.data = model.conv2.weight.data * 1.5


def _step_size(model):
    with torch.no_grad():
        model.conv2.quan_w_fn.s.mul_(1.5)


def _step_size_data(model):
    model.conv2.quan_w_fn.s.data[toy.WIDTHS.index(4)] *= 1.5


def _width(model):
    toy.set_bits(model, ((5, 4), (3, 5)))


def _dtype(model):
    model.double()


def _loaded(model):
    model.load_state_dict({k: v * 1.5 for k, v in model.state_dict().items()})


@pytest.mark.parametrize(
    "change",
    [
        _new_parameter,
        _in_place,
        _data,
        _new_storage,
        _step_size,
        _step_size_data,
        _width,
        _dtype,
        _loaded,
    ],
)
def test_what_changes_the_quantized_weight_makes_a_new_one(quantized, change):
    model = toy.net()
    x = toy.batch()
    with injector(model, 0.05), torch.no_grad():
        model(x)
        change(model)
        quantized.clear()
        after = model(x.double() if change is _dtype else x)
        assert model.conv2.quan_w_fn in quantized
    with injector(model, 0.05, weight_cache=False), torch.no_grad():
        assert torch.equal(model(x.double() if change is _dtype else x), after)


def test_only_the_changed_site_is_quantized_again(quantized):
    model = toy.net()
    with injector(model):
        run(model)
        _in_place(model)
        quantized.clear()
        run(model)
        assert quantized == [model.conv2.quan_w_fn]


def _training(model):
    model.conv2.train()
    return run(model)


def _grad(model):
    return model(toy.batch()).detach()


def _inference(model):
    with torch.inference_mode():
        return model(toy.batch())


def _autocast(model):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return run(model).float()


@pytest.mark.parametrize("mode", [_training, _grad, _inference, _autocast])
def test_another_mode_makes_a_new_one(quantized, mode):
    model = toy.net()
    with injector(model, persistence="static"):
        run(model)
        quantized.clear()
        kept = mode(model)
        assert model.conv2.quan_w_fn in quantized
    with injector(model, persistence="static", weight_cache=False):
        assert torch.equal(mode(model), kept)


def test_another_map_is_patched_into_the_same_weight(quantized):
    model = toy.net()
    with injector(model, persistence="per_forward"):
        first = run(model)
        quantized.clear()
        assert not torch.equal(run(model), first)
        assert quantized == []


def test_frozen_weights_are_kept_with_gradients_on_too(quantized):
    model = toy.net().requires_grad_(False)
    x = toy.batch().requires_grad_()
    quantized.clear()
    with injector(model, persistence="per_forward"):
        outputs = [model(x) for _ in range(3)]
        assert len(quantized) == 4
        for output in outputs:  # each graph still has the weights that it was run with
            output.sum().backward()
    assert x.grad.abs().sum() > 0


def test_a_weight_that_a_caller_keeps_stays_as_it_was():
    model = toy.net()
    seen = []
    model.conv2.quan_w_fn.register_forward_hook(lambda m, a, out: seen.append((out, out.clone())))
    with injector(model, 0.05, persistence="per_forward"):
        for _ in range(3):
            run(model)
    assert len(seen) == 3
    assert all(torch.equal(kept, copy) for kept, copy in seen)
    assert not torch.equal(seen[0][0], seen[1][0])


def test_a_weight_that_the_layer_wrote_into_is_not_used_again(quantized):
    model = toy.net()
    handle = model.conv2.quan_w_fn.register_forward_hook(lambda m, a, out: out.mul_(2))
    with injector(model):
        run(model)
        handle.remove()
        quantized.clear()
        run(model)
        assert quantized == [model.conv2.quan_w_fn]


def test_kept_weights_are_freed_on_disable():
    model = toy.net()
    seen = []
    model.conv2.quan_w_fn.register_forward_hook(lambda m, a, out: seen.append(weakref.ref(out)))
    with injector(model):
        run(model)
        gc.collect()
        assert seen[0]() is not None
    gc.collect()
    assert seen[0]() is None


def test_one_copy_of_a_weight_is_kept_at_most():
    model = toy.net()
    with injector(model) as running:
        for bits in (((4, 4), (3, 5)), ((5, 4), (3, 5)), ((2, 4), (6, 5))):
            toy.set_bits(model, bits)
            run(model)
        caches = [exposed._cache for exposed in running._exposed]
        kept = [cache._kept._tensor for cache in caches]
    assert sum(t.numel() for t in kept) == sum(s.words for s in running.sites)


def test_channels_last_weights():
    model = toy.net().to(memory_format=torch.channels_last)
    with injector(model, 0.05, persistence="per_forward"):
        kept = [run(model) for _ in range(3)]
    with injector(model, 0.05, persistence="per_forward", weight_cache=False):
        assert all(torch.equal(run(model), output) for output in kept)


def test_what_is_compared_does_not_grow_with_the_weight():
    for words in (SMALL + 1, 10_000, 10_000_000):
        assert PROBES <= _Probe(torch.zeros(words))._index.numel() < 3 * PROBES


class Switched(torch.nn.Module):
    """A quantizer that a plain attribute tells how many steps to have."""

    def __init__(self):
        super().__init__()
        self.levels = 4

    def forward(self, weight):
        return (weight * self.levels).round() / self.levels


def test_a_plain_attribute_of_the_quantizer_makes_another_weight():
    layer = torch.nn.Linear(2, 2)
    site = SimpleNamespace(weight=layer.weight, quantizer=Switched(), layer=layer)
    cache = WeightCache(site)
    with torch.no_grad():
        before = cache.key((layer.weight,), {})
        site.quantizer.levels = 8
        assert cache.key((layer.weight,), {}) != before
        site.quantizer.levels = 4
        assert cache.key((layer.weight,), {}) == before
