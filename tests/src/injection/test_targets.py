"""What is exposed besides weights: IEEE-754 words and activation codes."""

import copy
import math

import numpy as np
import pytest
import torch

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import ConfigError, InjectionError, SiteError
from seu_plugin.faults.cell_map import CellMap
from seu_plugin.faults.fault_map import FaultMap
from seu_plugin.injection.placement import PlacedMap
from seu_plugin.injection.reading import Reader
from seu_plugin.memory.codecs import codec
from seu_plugin.quantizers.adapters.rfquant import RFQuantActivations
from seu_plugin.quantizers.grid import Grid

FLOATS = ["step_sizes", "batch_norm", "biases"]


def outputs(model, forwards=2, **settings):
    with torch.no_grad(), FaultInjector(model, seed=5, **settings) as injector:
        values = [model(toy.batch()) for _ in range(forwards)]
        return values, injector.statistics()


@pytest.mark.parametrize("weight_cache", [True, False])
@pytest.mark.parametrize("target", [*FLOATS, "activations"])
def test_a_target_changes_outputs_repeatably_and_leaves_no_trace(target, weight_cache):
    model = toy.net()
    with torch.no_grad():
        clean = model(toy.batch())
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(0)
    state = torch.get_rng_state()
    given = {"ber": 0.02, "targets": [target], "weight_cache": weight_cache}
    values, statistics = outputs(model, **given)
    again, _ = outputs(model, **given)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) or a.isnan().any() for a, b in zip(values, again))
    assert not torch.equal(values[0], clean)
    assert sum(s.upsets for s in statistics.values()) > 0
    with torch.no_grad():
        assert torch.equal(model(toy.batch()), clean)
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(v, before[k]) for k, v in after.items())
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("target", FLOATS)
def test_float32_words_are_put_back_after_an_error(target, monkeypatch):
    model = toy.net()
    before = {name: id(value) for name, value in model.named_parameters()}
    injector = FaultInjector(model, ber=0.05, seed=1, targets=[target]).enable()
    with pytest.raises(RuntimeError), torch.no_grad():
        model(torch.zeros(1, 5, 8, 8))
    injector.release()
    assert {name: id(value) for name, value in model.named_parameters()} == before


def test_a_bias_is_read_with_its_bits_flipped():
    model = toy.net()
    seen = []
    linear = torch.nn.functional.linear
    torch.nn.functional.linear = lambda x, w, b: seen.append(b.clone()) or linear(x, w, b)
    try:
        _, statistics = outputs(model, forwards=1, ber=0.02, targets="biases")
    finally:
        torch.nn.functional.linear = linear
    clean = model.fc.bias.detach().numpy().view(np.uint32)
    read = seen[0].numpy().view(np.uint32)
    flipped = sum(bin(x).count("1") for x in (clean ^ read).tolist())
    assert flipped == statistics["fc.bias"].upsets > 0
    assert statistics["fc.bias"].words_hit == int((clean != read).sum())
    assert (statistics["fc.bias"].words, statistics["fc.bias"].bits) == (10, 320)


def test_every_bit_of_a_float32_word_is_upset_alike_often():
    counts = np.zeros(32)
    model = toy.net()
    injector = FaultInjector(model, ber=0.02, seed=1, targets="biases", persistence="per_forward")
    seen = []
    linear = torch.nn.functional.linear
    torch.nn.functional.linear = lambda x, w, b: seen.append(b.clone()) or linear(x, w, b)
    try:
        with torch.no_grad(), injector:
            for _ in range(500):
                model(toy.batch())
    finally:
        torch.nn.functional.linear = linear
    clean = model.fc.bias.detach().numpy().view(np.uint32)
    for bias in seen:
        changed = clean ^ bias.numpy().view(np.uint32)
        counts += (changed[:, None] >> np.arange(32) & 1).sum(axis=0)
    z = (counts - 500 * 10 * 0.02) / math.sqrt(500 * 10 * 0.02 * 0.98)
    assert abs(z).max() < 4


def test_words_that_are_no_numbers_any_more_are_counted():
    model = toy.net()
    model.fc.bias.data.fill_(1.9999999)  # one upset of the exponent's top bit makes it NaN
    total = 0
    for trial in range(40):
        values, statistics = outputs(model, 1, ber=0.03, targets="biases", trial=trial)
        total += statistics["fc.bias"].nan_inf
        if statistics["fc.bias"].nan_inf:
            assert not torch.isfinite(values[0]).all()
    assert total > 0


def test_a_weight_is_codes_times_the_step_size_that_is_read():
    model, seen = toy.net(), {}

    conv = torch.nn.functional.conv2d
    torch.nn.functional.conv2d = lambda x, w, **k: (
        seen.setdefault(w.shape, w.clone()) is None or conv(x, w, **k)
    )
    try:
        for trial in range(30):
            seen.clear()
            _, statistics = outputs(
                model, 1, ber=0.02, targets="step_sizes", trial=trial, layers="conv2"
            )
            if statistics["conv2.quan_w_fn.s"].upsets:
                break
    finally:
        torch.nn.functional.conv2d = conv
    clean = model.conv2.quan_w_fn(model.conv2.weight, 4).detach()
    codes = (clean / model.conv2.quan_w_fn.get_scale(4)).round()
    read = seen[clean.shape]
    ratio = (read / codes)[codes != 0]
    assert torch.equal(read[codes == 0].nan_to_num(), torch.zeros_like(read[codes == 0]))
    assert ratio.isnan().all() or torch.allclose(ratio, ratio[0].expand_as(ratio))
    assert statistics["conv2.quan_w_fn.s"].bits == 32  # of the width in use alone


def test_running_statistics_are_upset_where_they_are_read():
    model = toy.net().train()
    before = copy.deepcopy(model.state_dict())
    with FaultInjector(model, ber=0.05, seed=1, targets="batch_norm") as injector:
        model(toy.batch())
    statistics = injector.statistics()
    names = [name for name, s in statistics.items() if s.bits]
    assert names and not any("running" in name for name in names)
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert changed and all("running" in k or "num_batches" in k for k in changed)
    with_finite = [k for k in changed if torch.isfinite(model.state_dict()[k].float()).all()]
    assert with_finite == changed


@pytest.mark.parametrize("target", [*FLOATS, "activations"])
def test_gradients_pass_straight_through(target):
    model = toy.net().train()
    given = {"ber": 1e-3, "seed": 2, "targets": [target, "weights"], "layers": ["conv2", "fc"]}
    with FaultInjector(model, **given):
        model(toy.batch()).sum().backward()
    assert model.conv2.weight.grad is not None and model.fc.bias.grad is not None
    assert all(p.is_leaf for p in model.parameters())


# -- activations ---------------------------------------------------------------------------------


def activations(model, **settings):
    """Inputs of conv3 as its convolution sees them, clean and under upsets."""
    seen, conv = [], torch.nn.functional.conv2d
    torch.nn.functional.conv2d = lambda x, w, **k: (
        seen.append(x.detach().clone()) or conv(x, w, **k)
    )
    try:
        with torch.no_grad():
            model(toy.batch())
            with FaultInjector(
                model, seed=3, targets="activations", layers="conv3", **settings
            ) as i:
                model(toy.batch())
                model(toy.batch())
    finally:
        torch.nn.functional.conv2d = conv
    return seen[2], seen[5], seen[8], i.statistics()["conv3.activations"]


@pytest.mark.parametrize("signed", [False, True])
def test_activation_codes_flip_by_bits_and_anew_in_each_forward(signed):
    model = toy.net()
    width = model.conv3.bits[1]
    model.conv3.quan_a_fn.all_positive = not signed
    clean, first, second, statistics = activations(model, ber=0.01)
    step = model.conv3.quan_a_fn.get_scale(width)
    mask = (1 << width) - 1
    codes = [(x / step).round().to(torch.int64) for x in (clean, first, second)]
    flips = [((codes[0] & mask) ^ (c & mask)) for c in codes[1:]]
    counts = [sum(bin(f).count("1") for f in flip.flatten().tolist()) for flip in flips]
    assert sum(counts) == statistics.upsets and all(counts)
    assert not torch.equal(flips[0], flips[1])
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, mask)
    assert codes[1].min() >= low and codes[1].max() <= high
    bits = 2 * clean.numel() * width
    assert statistics.bits == bits
    assert abs(sum(counts) - bits * 0.01) < 4 * math.sqrt(bits * 0.01)


@pytest.mark.parametrize(
    ("others", "ber"),
    [
        (["batch_norm"], 1e-2),
        (["step_sizes"], 5e-2),
        (["batch_norm", "step_sizes", "biases"], 1e-2),
    ],
)
def test_activations_that_are_no_numbers_are_read_and_not_an_error(others, ber):
    """Upset float32 words make NaN and Inf, which reach activation quantizers."""
    strange, codes = 0, 0
    for trial in range(40):
        targets = ["activations", *others]
        values, statistics = outputs(toy.net(), 1, ber=ber, targets=targets, trial=trial)
        strange += not torch.isfinite(values[0]).all()
        codes += statistics["conv3.activations"].upsets
    assert strange > 0 and codes > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("flips", [None, "stuck"])
def test_a_word_without_a_code_stays_as_it_is(dtype, flips):
    step = torch.tensor(0.5)
    words = torch.tensor([float("nan"), float("inf"), 1.0, -float("inf"), 2.5], dtype=dtype)
    index, one = np.arange(5), np.ones(5, np.int32)
    hit = FaultMap(index, one, 5) if flips is None else CellMap(index, one, 0 * one)
    placed = PlacedMap(hit, codec("unsigned"), 4, torch.device("cpu"))
    reader = Reader(RFQuantActivations("a", None), no_numbers=True)
    grid = Grid(4, False, step)
    read = reader.faulted(words, placed, grid)
    assert torch.equal(
        read[[1, 2, 3, 4]],
        torch.tensor([np.inf, 1.5, -np.inf, 2.0 if flips is None else 2.5], dtype=dtype),
    )
    assert read[0].isnan()
    with pytest.raises(InjectionError, match=r"its .* words are not unsigned codes"):
        Reader(RFQuantActivations("a", None)).faulted(words, placed, grid)


def test_activations_that_stay_float32_are_no_codes():
    statistics = outputs(toy.net(), ber=0.01, targets="activations")[1]
    assert statistics["conv1.activations"].bits == 0  # an image of 32 bits
    assert statistics["conv2.activations"].bits > 0


@pytest.mark.parametrize("mode", ["stuck_at", "asymmetric"])
def test_other_fault_models_strike_other_targets_too(mode):
    for target in (*FLOATS, "activations"):
        statistics = outputs(toy.net(), mode=mode, ber=0.05, targets=target)[1]
        assert sum(s.upsets for s in statistics.values()) > 0


# -- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"targets": "weight"}, ConfigError, "did you mean 'weights'"),
        ({"targets": []}, ConfigError, "must not be empty"),
        ({"targets": ["biases", "biases"]}, ConfigError, "must be distinct"),
        ({"targets": "biases", "bits": "msb"}, ConfigError, "must be all for float32 words"),
        ({"targets": "biases", "layers": "conv2"}, SiteError, "no selected layer has a bias"),
        (
            {"targets": "biases", "mode": "mbu", "mbu": {"sizes": {1: 1.0}}},
            ConfigError,
            "mode mbu is for weights only",
        ),
    ],
)
def test_mistakes_are_named(given, error, message):
    with pytest.raises(error, match=message):
        FaultInjector(toy.net(), ber=0.1, **given)


def test_a_model_without_batch_norm_cannot_have_it_upset():
    model = torch.nn.Sequential(toy.QuanConv2d(1, 4, fixed_bits=(4, 32)))
    with pytest.raises(SiteError, match="the model has no BatchNorm"):
        FaultInjector(model, ber=0.1, targets="batch_norm")


def test_a_step_size_without_a_value_is_an_error():
    with pytest.raises(InjectionError, match="run the model clean once"):
        outputs(toy.net(warm=False), ber=0.1, targets="step_sizes")


def test_a_clean_run_may_be_the_first_to_set_step_sizes():
    model = toy.net(warm=False)
    with torch.no_grad(), FaultInjector(model, ber=0.1, seed=1, targets="step_sizes") as injector:
        with injector.suspended():
            model(toy.batch())
        model(toy.batch())


def test_batch_norms_that_do_not_run_are_not_in_the_table(capsys):
    model = toy.net()
    with torch.no_grad(), FaultInjector(model, ber=0.01, seed=1, targets="batch_norm") as injector:
        model(toy.batch())
    injector.print_summary()
    assert len(capsys.readouterr().out.splitlines()) < 25


def test_words_that_are_not_float32_are_an_error():
    model = toy.net()
    model.fc.bias = torch.nn.Parameter(model.fc.bias.detach().double())
    with pytest.raises(SiteError, match="only float32 words"):
        outputs(model, ber=0.1, targets="biases")


@pytest.mark.parametrize("targets", [["activations"], ["weights", "activations"]])
def test_a_target_that_no_forward_used_is_an_error(targets):
    model = toy.net()  # conv1 takes its input as float32
    with pytest.raises(InjectionError, match="did not: no forward used a stored bit of them"):
        outputs(model, ber=0.02, targets=targets, layers="conv1")


@pytest.mark.parametrize("ber", [0.0, 1e-3])
def test_training_may_begin_with_step_sizes_that_hold_nothing_yet(ber):
    model = toy.net(warm=False).train()
    settings = {"ber": ber, "seed": 1, "targets": ["weights", "step_sizes"]}
    with FaultInjector(model, **settings) as injector:
        model(toy.batch())
        first = injector.statistics()["conv2.quan_a_fn.s"].maps
        model(toy.batch())
    assert first == 0 < injector.statistics()["conv2.quan_a_fn.s"].maps


def test_evaluation_with_step_sizes_that_hold_nothing_yet_is_an_error():
    with pytest.raises(InjectionError, match="has no value at width 4 yet"):
        outputs(toy.net(warm=False), ber=1e-3, targets=["weights", "step_sizes"])


def test_words_that_two_modules_share_are_refused():
    model = toy.net()
    model.bn3.bn["3_5"].weight = model.bn2.bn["4_4"].weight
    with pytest.raises(SiteError, match="lie in one memory"):
        FaultInjector(model, ber=0.1, targets=["batch_norm"])
