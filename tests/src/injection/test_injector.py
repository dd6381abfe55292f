"""FaultInjector: what it changes, what it leaves alone, what it refuses."""

import copy
import functools
import io
import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import ConfigError, InjectionError, SeuWarning, SiteError
from seu_plugin.faults.fault_map import draw_fault_map
from seu_plugin.faults.seeding import Stream
from seu_plugin.memory.codecs import codec


def run(model, x=None):
    with torch.no_grad():
        return model(toy.batch() if x is None else x)


def faulted_weights(model, injector, forwards=1):
    """The weights that the layers' own forwards use, by site, for each forward."""
    seen = []
    handles = []
    names = {site.quantizer: site.name for site in injector.sites}

    def keep(module, args, output):
        seen[-1][names[module]] = output.detach().clone()

    for module in names:
        handles.append(module.register_forward_hook(keep))
    with injector:
        for _ in range(forwards):
            seen.append({})
            run(model)
    for handle in handles:
        handle.remove()
    return seen if forwards > 1 else seen[0]


def clean_weights(model):
    return {
        n: layer.quan_w_fn(layer.weight, (layer.fixed_bits or layer.bits)[0]).detach()
        for n, layer in model.named_modules()
        if hasattr(layer, "quan_w_fn")
    }


def state(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def same_state(one, other):
    return list(one) == list(other) and all(torch.equal(one[k], other[k]) for k in one)


# ------------------------------------------------------------------ values


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("encoding", ["twos_complement", "offset_binary", "gray"])
def test_every_word_reads_as_its_stored_code_after_the_flips(per_channel, encoding):
    model = toy.net(per_channel=per_channel)
    clean = clean_weights(model)
    injector = FaultInjector(model, ber=0.05, seed=3, encoding=encoding)
    faulted = faulted_weights(model, injector)
    for site in injector.sites:
        width, step = site.width, site.step_size(site.width)
        drawn = draw_fault_map(Stream(3, site.name), site.words, width, 0.05)
        masks = torch.zeros(site.words, dtype=torch.int32)
        masks[torch.from_numpy(drawn.index)] = torch.from_numpy(drawn.mask)
        code = torch.round(clean[site.name] / step).to(torch.int32)
        stored = codec(encoding).encode(code, width) ^ masks.reshape(code.shape)
        expected = codec(encoding).decode(stored, width) * step
        untouched = masks.reshape(code.shape) == 0
        assert torch.equal(faulted[site.name], torch.where(untouched, clean[site.name], expected))
        assert torch.equal(faulted[site.name][untouched], clean[site.name][untouched])


def test_a_flip_reaches_the_unused_code_of_a_symmetric_grid():
    model = toy.net(symmetric=True)
    injector = FaultInjector(model, ber=0.3, seed=0, layers="conv2")
    codes = faulted_weights(model, injector)["conv2"] / injector.sites[0].step_size(4)
    assert int(codes.min().round()) == -8


def test_sign_magnitude_needs_a_symmetric_grid():
    with pytest.raises(ConfigError, match="'sign_magnitude' cannot hold the asymmetric signed"):
        FaultInjector(toy.net(), ber=0.1, encoding="sign_magnitude")
    FaultInjector(toy.net(symmetric=True), ber=0.1, encoding="sign_magnitude")


def test_unsigned_encoding_cannot_hold_weights():
    with pytest.raises(ConfigError, match="'unsigned' cannot hold"):
        FaultInjector(toy.net(), ber=0.1, encoding="unsigned")


def test_channels_last_weights_are_faulted_alike():
    model = toy.net()
    other = copy.deepcopy(model).to(memory_format=torch.channels_last)
    one, two = (faulted_weights(m, FaultInjector(m, ber=0.05, seed=3)) for m in (model, other))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert two["conv2"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("bits,allowed", [("msb", 0b1000), ("lsb", 1), ([1, 2], 0b110)])
def test_only_the_selected_bits_flip(bits, allowed):
    model = toy.net()
    injector = FaultInjector(model, ber=0.2, seed=1, bits=bits, layers=["conv2"])
    faulted = faulted_weights(model, injector)["conv2"]
    step = injector.sites[0].step_size(4)
    stored = [torch.round(w / step).int() & 15 for w in (clean_weights(model)["conv2"], faulted)]
    flipped = stored[0] ^ stored[1]
    assert int(flipped.max()) > 0 and int((flipped & ~allowed).max()) == 0
    assert injector.statistics()["conv2"].bits == 1152 * bin(allowed).count("1")


def test_bit_that_no_site_has_is_an_error():
    with pytest.raises(ConfigError, match="no selected site has a bit 8"):
        FaultInjector(toy.net(), ber=0.1, bits=[8])


def test_ber_one_flips_every_bit():
    model = toy.net()
    injector = FaultInjector(model, ber=1.0, seed=0)
    faulted = faulted_weights(model, injector)["conv2"]
    step = injector.sites[1].step_size(4)
    assert torch.equal(
        torch.round(faulted / step), -1 - torch.round(clean_weights(model)["conv2"] / step)
    )


# ------------------------------------------------------------------ maps


def test_ber_zero_is_bit_identical():
    model = toy.net()
    golden = run(model)
    with FaultInjector(model, ber=0.0, seed=1):
        assert torch.equal(run(model), golden)


def test_same_seed_same_faults():
    outputs = []
    for _ in range(2):
        model = toy.net()
        with FaultInjector(model, ber=0.01, seed=42):
            outputs.append(run(model))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("changed", [{"seed": 2}, {"trial": 1}])
def test_other_seed_or_trial_gives_other_faults(changed):
    model = toy.net()
    base = {"ber": 0.01, "seed": 1}
    one = faulted_weights(model, FaultInjector(model, **base))
    two = faulted_weights(model, FaultInjector(model, **{**base, **changed}))
    assert not torch.equal(one["conv3"], two["conv3"])


def test_wrapper_prefix_does_not_change_the_map():
    model = toy.net()
    one = faulted_weights(model, FaultInjector(model, ber=0.01, seed=5))
    wrapped = nn.DataParallel(nn.DataParallel(model))
    two = faulted_weights(model, FaultInjector(wrapped, ber=0.01, seed=5))
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_map_of_a_site_does_not_depend_on_the_other_sites():
    model = toy.net()
    alone = faulted_weights(model, FaultInjector(model, ber=0.01, seed=5, layers="conv3"))
    among = faulted_weights(model, FaultInjector(model, ber=0.01, seed=5))
    assert torch.equal(alone["conv3"], among["conv3"])


def test_map_does_not_depend_on_the_batch_size():
    model = toy.net()
    with FaultInjector(model, ber=0.01, seed=5):
        whole, halves = run(model, toy.batch(4)), run(model, toy.batch(4)[:2])
    torch.testing.assert_close(whole[:2], halves)


def test_static_maps_stay_from_forward_to_forward():
    model = toy.net()
    one, two = faulted_weights(model, FaultInjector(model, ber=0.01, seed=5), forwards=2)
    assert torch.equal(one["conv3"], two["conv3"])


def test_per_forward_maps_change_and_are_reproducible():
    model = toy.net()
    settings = {"ber": 0.01, "seed": 5, "persistence": "per_forward"}
    one, two = faulted_weights(model, FaultInjector(model, **settings), forwards=2)
    again = faulted_weights(model, FaultInjector(model, **settings), forwards=2)
    assert not torch.equal(one["conv3"], two["conv3"])
    assert torch.equal(one["conv3"], again[0]["conv3"])
    assert torch.equal(two["conv3"], again[1]["conv3"])


def test_exposure_draw_continues_where_another_run_stopped():
    model = toy.net()
    settings = {"ber": 0.01, "seed": 5, "persistence": "per_forward"}
    _, second = faulted_weights(model, FaultInjector(model, **settings), forwards=2)
    resumed = faulted_weights(model, FaultInjector(model, **settings, exposure_draw=1))
    assert torch.equal(second["conv3"], resumed["conv3"])


def test_auto_persistence_is_per_forward_in_train_mode():
    model = toy.net().train()
    one, two = faulted_weights(model, FaultInjector(model, ber=0.01, seed=5), forwards=2)
    assert not torch.equal(one["conv3"], two["conv3"])


def test_a_layer_used_twice_in_a_forward_sees_one_map():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = toy.net()

        def forward(self, x):
            return self.inner(x), self.inner(x)

    model = Twice().eval()
    with FaultInjector(model, ber=0.02, seed=1, persistence="per_forward") as injector:
        one, two = run(model)
    assert torch.equal(one, two)
    assert injector.statistics()["inner.conv2"].maps == 1


class Checkpointed(nn.Module):
    """The toy network with its activations recomputed in backward."""

    def __init__(self, reentrant):
        super().__init__()
        self.inner = toy.net()
        self.reentrant = reentrant

    def forward(self, x):
        from torch.utils.checkpoint import checkpoint

        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


def inputs():
    """A batch that needs gradients, as a reentrant checkpoint wants it."""
    return toy.batch().requires_grad_()


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("between", ["nothing", "a forward without gradients"])
def test_recomputation_in_backward_sees_the_map_of_its_forward(reentrant, between):
    gradients = []
    for model in (Checkpointed(reentrant), nn.Sequential()):
        if not len(list(model.children())):
            model.add_module("inner", toy.net())
        model.train()
        with FaultInjector(model, ber=0.02, seed=1):
            loss = model(inputs()).square().sum()
            if between != "nothing":
                run(model)
            loss.backward()
        gradients.append(dict(model.named_parameters())["inner.conv2.weight"].grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputation_after_two_forwards_is_an_error(reentrant):
    model = Checkpointed(reentrant).train()
    # torch 1.13 turns errors in backward into plain RuntimeErrors.
    with pytest.raises(RuntimeError, match="is recomputed after 2 forwards"):
        with FaultInjector(model, ber=0.02, seed=1):
            (model(inputs()).sum() + model(inputs()).sum()).backward()


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputation_step_after_step(reentrant):
    model = Checkpointed(reentrant).train()
    with FaultInjector(model, ber=0.02, seed=1) as injector:
        for _ in range(3):
            model(inputs()).sum().backward()
    assert injector.statistics()["inner.conv2"].maps == 3


def test_per_forward_maps_need_the_model_that_is_called():
    model = toy.net()
    holder = nn.ModuleDict({"a": model.conv1})
    with pytest.raises(InjectionError, match="outside a forward of the model"):
        with FaultInjector(holder, ber=0.1, persistence="per_forward"):
            run(model)


# ------------------------------------------------------------------ reach


def test_quantizer_calls_outside_a_layer_see_clean_weights():
    model = toy.net()
    clean = clean_weights(model)
    with FaultInjector(model, ber=0.1, seed=1):
        run(model)
        outside = clean_weights(model)
    assert all(torch.equal(clean[k], outside[k]) for k in clean)


def test_quantizer_calls_outside_a_layer_are_clean_after_a_layer_failed():
    model = toy.net()
    clean = clean_weights(model)
    with FaultInjector(model, ber=0.1, seed=1):
        run(model)
        with pytest.raises(RuntimeError):
            run(model, torch.zeros(1, 3, 8, 8))  # conv1 takes one channel
        outside = clean_weights(model)
    assert all(torch.equal(clean[k], outside[k]) for k in clean)


def calibrate(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.training = True
    run(model)
    model.eval()


def test_batch_norm_calibration_sees_clean_weights_by_default():
    reference, model = toy.net(), toy.net()
    calibrate(reference)
    with FaultInjector(model, ber=0.1, seed=1):
        calibrate(model)
        run(model)
    assert same_state(state(reference), state(model))


def test_batch_norm_calibration_is_faulty_on_request():
    reference, model = toy.net(), toy.net()
    calibrate(reference)
    with FaultInjector(model, ber=0.1, seed=1, bn_calibration="faulty"):
        calibrate(model)
    assert not same_state(state(reference), state(model))


def test_suspended_forwards_are_clean():
    model = toy.net()
    golden = run(model)
    with FaultInjector(model, ber=0.1, seed=1) as injector:
        with injector.suspended():
            assert torch.equal(run(model), golden)
        assert not torch.equal(run(model), golden)


@pytest.mark.parametrize("training", [False, True])
def test_mode_flags_choose_where_to_inject(training):
    model = toy.net().train(training)
    x = toy.batch()
    golden = copy.deepcopy(model)(x)
    flags = {"enable_in_training": not training, "enable_in_inference": training}
    injector = FaultInjector(model, ber=0.1, seed=1, **flags)
    injector.enable()
    assert torch.equal(model(x), golden)
    model.train(not training)
    model(x)
    injector.disable()


# ------------------------------------------------------------------ gradients


def test_gradients_pass_straight_through():
    upstream = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(2))
    gradients = []
    for ber in (0.0, 0.2):
        model = toy.net().train()
        outputs = []
        model.conv2.quan_w_fn.register_forward_hook(
            lambda m, a, out, keep=outputs: keep.append(out)
        )
        with FaultInjector(model, ber=ber, seed=1):
            model(toy.batch())
        outputs[0].backward(upstream)
        gradients.append((model.conv2.weight.grad, model.conv2.quan_w_fn.s.grad))
    assert all(torch.equal(a, b) for a, b in zip(*gradients))


def test_training_step_under_injection_changes_every_weight():
    model = toy.net().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = state(model)
    with FaultInjector(model, ber=0.01, seed=1):
        model(toy.batch()).square().mean().backward()
        optimizer.step()
    assert all(
        not torch.equal(before[k], v)
        for k, v in model.state_dict().items()
        if k.endswith("weight") and "conv" in k
    )


# ------------------------------------------------------------------ no trace


def everything(model):
    return {
        n: (sorted(vars(m)), len(m._forward_hooks), len(m._forward_pre_hooks), m.training)
        for n, m in model.named_modules()
    }


def test_no_trace_after_disable():
    model = toy.net()
    golden, before, attributes = run(model), state(model), everything(model)
    with FaultInjector(model, ber=0.1, seed=1):
        assert list(model.state_dict()) == list(before)
        run(model)
    assert same_state(before, state(model))
    assert everything(model) == attributes
    assert torch.equal(run(model), golden)


def test_no_trace_after_an_exception_in_a_forward():
    model = toy.net()
    golden, before, attributes = run(model), state(model), everything(model)
    with pytest.raises(RuntimeError), FaultInjector(model, ber=0.1, seed=1):
        run(model)
        run(model, torch.zeros(1, 3, 8, 8))
    assert same_state(before, state(model))
    assert everything(model) == attributes
    assert torch.equal(run(model), golden)


def test_step_sizes_set_by_faulted_data_are_taken_back():
    model = toy.net(warm=False)
    before = state(model)
    with FaultInjector(model, ber=0.1, seed=1):
        run(model)
    assert same_state(before, state(model))


def test_global_generators_are_not_touched():
    model = toy.net().train()
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    with FaultInjector(model, ber=0.1):
        run(model)
    after = random.getstate(), np.random.get_state(), torch.get_rng_state()
    assert before[0] == after[0]
    assert all(np.array_equal(a, b) for a, b in zip(before[1], after[1]))
    assert torch.equal(before[2], after[2])


def test_deep_copy_taken_while_enabled_is_clean():
    model = toy.net()
    golden = run(model)
    with FaultInjector(model, ber=0.1, seed=1):
        clone = copy.deepcopy(model)
        assert torch.equal(run(clone), golden)
        run(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(run(clone), golden)
    assert torch.equal(run(copy.deepcopy(clone)), golden)


def test_deep_copy_taken_while_enabled_can_be_injected():
    model = toy.net()
    with FaultInjector(model, ber=0.1, seed=1):
        faulted, clone = run(model), copy.deepcopy(model)
        with FaultInjector(clone, ber=0.1, seed=1):
            assert torch.equal(run(clone), faulted)


def test_pickle_taken_while_enabled_is_clean():
    model = toy.net()
    golden = run(model)
    with FaultInjector(model, ber=0.1, seed=1):
        run(model)
        data = pickle.dumps(model)
    assert torch.equal(run(pickle.load(io.BytesIO(data))), golden)


def test_someone_elses_forward_is_given_back():
    model = toy.net()
    plain = model.conv2.forward
    model.conv2.forward = mine = lambda x: plain(x)
    with FaultInjector(model, ber=0.1, seed=1):
        run(model)
    assert model.conv2.forward is mine


# ------------------------------------------------------------------ contract


def test_enable_twice_is_one_enable():
    model = toy.net()
    golden = run(model)
    injector = FaultInjector(model, ber=0.1, seed=1)
    injector.enable()
    injector.enable()
    run(model)
    injector.disable()
    assert torch.equal(run(model), golden)


def test_second_injector_on_a_site_is_an_error_that_names_the_first():
    model = toy.net()
    attributes = everything(model)
    with FaultInjector(model, ber=0.1, seed=77):
        under_one = everything(model)
        with pytest.raises(InjectionError, match=r"already under FaultInjector.*seed=77"):
            FaultInjector(model, ber=0.1, seed=1).enable()
        assert everything(model) == under_one
        run(model)
    assert everything(model) == attributes


def test_nothing_injected_is_an_error():
    injector = FaultInjector(toy.net(), ber=0.1).enable()
    with pytest.raises(InjectionError, match="not one forward passed through"):
        injector.disable()
    assert not injector.enabled


def test_only_the_wrong_mode_is_an_error():
    model = toy.net()
    with pytest.raises(InjectionError, match="only used in eval mode, where it does not inject"):
        with FaultInjector(model, ber=0.1, enable_in_inference=False):
            run(model)


def test_bit_positions_that_no_width_in_use_has_are_an_error():
    model = toy.net()
    with pytest.raises(InjectionError, match="no word of its sites has a bit"):
        with FaultInjector(model, ber=1.0, seed=1, layers=["conv2", "conv3"], bits=[5]):
            run(model)


def test_nothing_to_inject_at_ber_zero_is_fine():
    FaultInjector(toy.net(), ber=0.0).enable().disable()


def test_site_that_no_forward_reached_is_a_warning():
    model = toy.net()
    with pytest.warns(SeuWarning, match="no forward passed through conv3, fc"):
        with FaultInjector(model, ber=0.1, seed=1):
            with torch.no_grad():
                model.conv2(model.conv1(toy.batch()))


def test_layer_without_width_is_an_error_before_any_forward():
    model = toy.net()
    model.conv2.bits = None
    with pytest.raises(SiteError, match="'conv2' has no bit width yet"):
        FaultInjector(model, ber=0.1).enable()


def test_layer_that_runs_in_floating_point_is_an_error():
    model = toy.net()
    model.conv2.bits = None
    injector = FaultInjector(model, ber=0.1, seed=1).enable(widths_set_later=True)
    with pytest.raises(InjectionError, match="'conv2' ran without quantizing"):
        run(model)
    injector.release()


def test_weights_that_are_no_codes_are_an_error():
    model = toy.net()
    original = model.conv2.quan_w_fn.get_scale
    model.conv2.quan_w_fn.get_scale = lambda bits, detach=True: (
        original(bits, detach) * (1.0 if not detach else 1.37)
    )
    with pytest.raises(InjectionError, match="they are no quantized memory"):
        with FaultInjector(model, ber=0.1, seed=1):
            run(model)


def test_codes_outside_the_width_are_an_error():
    model = toy.net()
    quantizer = model.conv2.quan_w_fn
    quantizer.grid = lambda bits: (-100, 100)  # clamps nothing, whatever the width says
    model.conv2.weight.data *= 10
    with pytest.raises(InjectionError, match="not twos_complement codes of 4 bits"):
        with FaultInjector(model, ber=1.0, seed=1):
            run(model)


def test_nan_step_sizes_are_an_error():
    model = toy.net()
    with pytest.raises(InjectionError, match="they are no quantized memory"):
        with FaultInjector(model, ber=0.1, seed=1):
            model.conv2.quan_w_fn.s.data.fill_(float("nan"))
            run(model)


@pytest.mark.parametrize(
    "give",
    [lambda t: t, lambda t: t.detach(), lambda t: t.view(t.shape), lambda t: t.data],
    ids=["itself", "detached", "view", "data"],
)
def test_a_host_that_keeps_its_quantized_weight_finds_it_clean(give):
    model = toy.net()
    kept = clean_weights(model)["conv2"]
    before = kept.clone()
    model.conv2.quan_w_fn.forward = lambda weight, bits, is_activation=False: give(kept)
    with FaultInjector(model, ber=0.1, seed=1):
        one, two = run(model), run(model)
    assert torch.equal(kept, before) and torch.equal(one, two)


def test_inference_mode():
    model = toy.net()
    with FaultInjector(model, ber=0.05, seed=3):
        faulted = run(model)
        with torch.inference_mode():
            assert torch.equal(model(toy.batch()), faulted)


def test_numbers_of_numpy_are_numbers():
    injector = FaultInjector(toy.net(), ber=np.float32(0.5), seed=np.int64(3))
    assert (injector.settings.ber, injector.seed) == (0.5, 3)


def test_the_self_check_alarms_on_a_wrong_rate(monkeypatch):
    def wrong(stream, words, width, ber):
        return draw_fault_map(stream, words, width, ber * 2)

    monkeypatch.setattr("seu_plugin.faults.site_memory.draw_fault_map", wrong)
    model = toy.net()
    with pytest.raises(InjectionError, match="self-check failed"):
        with FaultInjector(model, ber=0.1, seed=1):
            run(model)


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"ber": 2}, r"FaultInjector.ber: must be a number in \[0, 1\]; received 2"),
        ({}, "FaultInjector.ber"),
        ({"ber": 0.1, "mode": "x"}, "mode: allowed are ber"),
        ({"ber": 0.1, "device": "cudda"}, "device: cannot be used here; received 'cudda'"),
        ({"ber": 0.1, "seed": -1}, "seed"),
        ({"ber": 0.1, "exposure_draw": -1}, "exposure_draw: must be an integer in"),
        (
            {"ber": 0.1, "enable_in_training": False, "enable_in_inference": False},
            "are all false",
        ),
    ],
)
def test_bad_arguments_are_errors(arguments, message):
    with pytest.raises(ConfigError, match=message):
        FaultInjector(toy.net(), **arguments)


def test_drawn_seed_is_reported_and_reproduces():
    model = toy.net()
    first = FaultInjector(model, ber=0.05)
    faulted = faulted_weights(model, first)
    again = faulted_weights(model, FaultInjector(model, ber=0.05, seed=first.seed))
    assert torch.equal(faulted["conv3"], again["conv3"])


def test_explicit_device_flips_alike():
    model = toy.net()
    one = faulted_weights(model, FaultInjector(model, ber=0.05, seed=3))
    two = faulted_weights(model, FaultInjector(model, ber=0.05, seed=3, device=torch.device("cpu")))
    assert torch.equal(one["conv3"], two["conv3"])


# ------------------------------------------------------------------ statistics


def test_statistics_count_each_map_once():
    model = toy.net()
    injector = FaultInjector(model, ber=0.05, seed=3)
    clean, faulted = clean_weights(model), faulted_weights(model, injector, forwards=3)[0]
    for name, site in injector.statistics().items():
        words = clean[name].numel()
        hit = int((clean[name] != faulted[name]).sum())
        assert (site.words, site.maps, site.forwards, site.words_hit) == (words, 1, 3, hit)


def test_statistics_sum_over_fresh_maps():
    model = toy.net()
    injector = FaultInjector(model, ber=0.05, seed=3, persistence="per_forward")
    faulted_weights(model, injector, forwards=3)
    site = injector.statistics()["conv2"]
    assert (site.maps, site.words, site.bits) == (3, 3 * 1152, 3 * 1152 * 4)
    assert site.upsets == sum(
        draw_fault_map(Stream(3, "conv2", 0, draw), 1152, 4, 0.05).upsets for draw in range(3)
    )


def test_statistics_tell_the_widths_used():
    model = toy.net()
    with FaultInjector(model, ber=0.05, seed=3) as injector:
        run(model)
        toy.set_bits(model, ((2, 4), (5, 5)))
        run(model)
    assert injector.statistics()["conv2"].widths == (4, 2)


def test_summary_is_a_table(capsys):
    model = toy.net()
    injector = FaultInjector(model, ber=0.05, seed=3)
    faulted_weights(model, injector)
    injector.print_summary()
    out = capsys.readouterr().out
    assert "conv3" in out and "Expected" in out and "seed 3" in out


def test_a_state_loaded_while_enabled_is_kept():
    model = toy.net()
    with FaultInjector(model, ber=0.01, seed=1):
        run(model)
        loaded = {k: v * 2 for k, v in model.state_dict().items()}
        model.load_state_dict(loaded)
    assert all(torch.equal(v, loaded[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("channels_last", [False, True])
def test_deterministic_algorithms_are_no_obstacle(channels_last):
    form = torch.channels_last if channels_last else torch.contiguous_format
    model = toy.net().to(memory_format=form)
    with FaultInjector(model, ber=0.05, seed=1):
        expected = run(model)
    torch.use_deterministic_algorithms(True)
    try:
        with FaultInjector(model, ber=0.05, seed=1):
            assert torch.equal(run(model), expected)
    finally:
        torch.use_deterministic_algorithms(False)


def test_calibration_of_a_part_of_the_model_sees_clean_weights():
    model = toy.net()
    x = model.conv1(toy.batch())
    clean = model.conv2(x)
    with FaultInjector(model, ber=0.2, seed=1, layers="conv2"):
        model.bn2.bn["4_4"].train()
        assert torch.equal(model.conv2(x), clean)
        model.bn2.bn["4_4"].eval()
        assert not torch.equal(model.conv2(x), clean)


def test_copies_taken_while_enabled_keep_somebody_elses_forward():
    model = toy.net()
    model.conv2.forward = functools.partial(_doubled, model.conv2)
    expected = run(model)
    with FaultInjector(model, ber=0.2, seed=1):
        run(model)
        copied = copy.deepcopy(model)
    assert torch.equal(run(copied), expected)


def _doubled(layer, x):
    return 2 * toy.QuanConv2d.forward(layer, x)


def test_the_hosts_own_injector_at_the_same_time_is_an_error():
    model = toy.net()
    quantizer = model.conv2.quan_w_fn

    def wrapped(x, bits, is_activation=False):
        return toy.Quantizer.forward(quantizer, x, bits)

    wrapped.__module__ = "util.fault_injector"
    quantizer.forward = wrapped
    with pytest.raises(InjectionError, match=r"another injector \(util\.fault_injector\)"):
        FaultInjector(model, ber=0.1, seed=1).enable()
    assert vars(quantizer)["forward"] is wrapped
    assert "forward" not in vars(model.conv1)


def test_both_calibrations_are_two_evaluations():
    with pytest.raises(ConfigError, match="allowed here are clean, faulty"):
        FaultInjector(toy.net(), ber=0.1, bn_calibration="both")
