"""Fault models and protection through the injector: what the layers see, and no trace."""

import copy

import pytest
import torch

import toy
from seu_plugin import FaultInjector
from seu_plugin.errors import ConfigError, InjectionError

MODES = {
    "stuck_at 0": {"mode": "stuck_at", "stuck_at": 0},
    "stuck_at random": {"mode": "stuck_at"},
    "asymmetric": {"mode": "asymmetric", "asymmetric": {"zero_to_one": 1, "one_to_zero": 0.1}},
    "mbu": {"mode": "mbu", "mbu": {"sizes": {1: 0.5, 3: 0.5}, "shape": "block"}},
    "secded": {"protection": {"scheme": "secded_39_32"}},
    "parity to zero": {"protection": {"scheme": "parity", "on_detected": "zero"}},
    "tmr of stuck cells": {"mode": "stuck_at", "protection": {"scheme": "tmr"}},
    "secded of stuck cells": {"mode": "stuck_at", "protection": {"scheme": "secded_72_64"}},
    "interleaved mbu": {
        "mode": "mbu",
        "mbu": {"sizes": {4: 1.0}},
        "protection": {"scheme": "secded_39_32"},
        "memory": {"interleaving": 4},
    },
    "exact_count": {"mode": "exact_count", "upsets": 300},
}
BER = {"ber": 0.03}


def arguments(mode):
    return {**({} if "exact_count" in mode else BER), "seed": 5, **MODES[mode]}


def outputs(model, **settings):
    with torch.no_grad():
        with FaultInjector(model, **settings) as injector:
            values = [model(toy.batch()) for _ in range(2)]
            return values, injector.statistics()


@pytest.mark.parametrize("persistence", ["static", "per_forward"])
@pytest.mark.parametrize("mode", MODES)
def test_a_mode_changes_outputs_repeatably_and_leaves_no_trace(mode, persistence):
    model = toy.net()
    with torch.no_grad():
        clean = model(toy.batch())
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(0)
    state = torch.get_rng_state()
    given = {**arguments(mode), "persistence": persistence}
    values, statistics = outputs(model, **given)
    again, _ = outputs(model, **given)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(values, again))
    assert not torch.equal(values[0], clean)
    assert torch.equal(values[0], values[1]) == (persistence == "static")
    assert sum(s.upsets for s in statistics.values()) > 0
    with torch.no_grad():
        assert torch.equal(model(toy.batch()), clean)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("mode", MODES)
def test_keeping_weights_does_not_change_what_is_read(mode):
    kept = outputs(toy.net(), **arguments(mode))
    fresh = outputs(toy.net(), **arguments(mode), weight_cache=False)
    assert all(torch.equal(a, b) for a, b in zip(kept[0], fresh[0]))
    upsets = [[s.upsets for s in one.values()] for one in (kept[1], fresh[1])]
    assert upsets[0] == upsets[1]


@pytest.mark.parametrize("mode", ["stuck_at random", "asymmetric", "secded of stuck cells"])
def test_half_precision_reads_the_same_codes(mode):
    model = toy.net().to(torch.bfloat16)
    # Steps of a power of two, so that codes times steps are exact.
    for site in FaultInjector(model, ber=0.0).sites:
        site.quantizer.s.data.fill_(0.0625)
    with torch.no_grad(), FaultInjector(model, **arguments(mode)) as injector:
        model(toy.batch().to(torch.bfloat16))
    reference = toy.net()
    for site in FaultInjector(reference, ber=0.0).sites:
        site.quantizer.s.data.fill_(0.0625)
        site.layer.weight.data.copy_(site.layer.weight.data.to(torch.bfloat16))
    with torch.no_grad(), FaultInjector(reference, **arguments(mode)) as other:
        reference(toy.batch())
    ours, theirs = injector.statistics(), other.statistics()
    assert [s.upsets for s in ours.values()] == [s.upsets for s in theirs.values()]


def test_a_stuck_model_trains_with_the_straight_through_gradient():
    model = toy.net().train()
    with FaultInjector(model, mode="stuck_at", ber=0.01, seed=1):
        model(toy.batch()).sum().backward()
    weights = [m.weight.grad for m in model.modules() if hasattr(m, "quan_w_fn")]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in weights)


def test_secded_reads_fewer_wrong_bits_than_it_stores():
    statistics = outputs(toy.net(), ber=1e-3, seed=1, protection={"scheme": "secded_39_32"})[1]
    upsets = sum(s.upsets for s in statistics.values())
    assert upsets > 0 and sum(s.residual for s in statistics.values()) < upsets / 4
    assert sum(s.check_bits for s in statistics.values()) > 0
    assert sum(s.corrected for s in statistics.values()) > 0


def test_the_table_tells_what_protection_did(capsys):
    with torch.no_grad():
        guard = {"protection": {"scheme": "secded_39_32"}}
        with FaultInjector(toy.net(), ber=0.02, seed=1, **guard) as injector:
            injector.model(toy.batch())
    injector.print_summary()
    out = capsys.readouterr().out
    assert all(name in out for name in ("Check", "wrong", "Corrected", "Given"))


def test_upsets_expected_are_those_of_exposed_cells():
    guard = {"protection": {"scheme": "tmr"}, "bits": "msb", "ber": 0.02}
    model, made, expected = toy.net(), 0.0, 0.0
    for trial in range(30):
        for s in outputs(model, seed=1, trial=trial, **guard)[1].values():
            made, expected = made + s.upsets, expected + s.expected
    assert abs(made - expected) < 4 * expected**0.5


@pytest.mark.parametrize("upsets", [1, 2, 50])
def test_exact_count_makes_so_many_upsets_in_all(upsets):
    for trial in range(5):
        statistics = outputs(toy.net(), mode="exact_count", upsets=upsets, seed=1, trial=trial)[1]
        assert sum(s.upsets for s in statistics.values()) == upsets


def test_exact_count_is_spread_over_sites_by_their_bits():
    made: dict = {}
    bits: dict = {}
    model = toy.net()
    for trial in range(60):
        for s in outputs(model, mode="exact_count", upsets=40, seed=1, trial=trial)[1].values():
            made[s.name] = made.get(s.name, 0) + s.upsets
            bits[s.name] = s.bits
    total = sum(bits.values())
    for name, n in made.items():
        share = bits[name] / total
        assert abs(n - 2400 * share) < 4 * (2400 * share * (1 - share)) ** 0.5


def test_more_upsets_than_bits_is_an_error():
    injector = FaultInjector(toy.net(), mode="exact_count", upsets=10**8, seed=1)
    with pytest.raises(ConfigError, match=r"upsets: is 100,000,000, but .* have 13,376 bits"):
        injector.enable()


def test_an_exact_count_needs_every_site_to_be_used():
    model = toy.net()
    with pytest.raises(InjectionError, match=r"may lie in sites .* \(conv2, conv3, fc\): exclude"):
        with torch.no_grad(), FaultInjector(model, mode="exact_count", persistence="static"):
            model.conv1(toy.batch())


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"scheme": "tmr", "on_detected": "zero"}, "on_detected has no use with scheme tmr"),
        ({"scheme": "none", "bits": "msb"}, "bits has no use with scheme none"),
        ([{"scheme": "parity"}, {"scheme": "tmr"}], "1.layers: earlier rules hold for all of its"),
        (
            {"scheme": "tmr", "layers": {"include": "fc", "exclude": "fc"}},
            "excludes all that it names",
        ),
    ],
)
def test_protection_that_would_do_nothing_is_an_error(rule, message):
    with pytest.raises(ConfigError, match=message):
        FaultInjector(toy.net(), ber=0.1, protection=rule)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mode": "exact_count"}, "mode exact_count places upsets in data"),
        ({"ber": 0.1, "bits": "lsb"}, "guards msb and only bits lsb are exposed"),
    ],
)
def test_protection_of_what_is_not_struck_is_an_error(given, message):
    with pytest.raises(ConfigError, match=message):
        FaultInjector(toy.net(), protection={"scheme": "tmr", "bits": "msb"}, **given)


def test_protection_without_weights_among_the_targets_is_an_error():
    with pytest.raises(ConfigError, match="protection is for weights, which targets leaves out"):
        FaultInjector(toy.net(), ber=0.1, protection={"scheme": "tmr"}, targets=["activations"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ber": 0.1, "upsets": 2}, "upsets is for mode exact_count; the mode is ber"),
        ({"mode": "exact_count", "ber": 0.1}, "upsets in place of ber"),
        ({"ber": 0.1, "protection": {"scheme": "secded"}}, "did you mean 'secded_72_64'"),
        ({"ber": 0.1, "protection": {"scheme": "tmr", "data_bits": 8}}, "data_bits is for parity"),
        ({"mode": "mbu", "ber": 0.1}, "mode mbu needs mbu"),
        (
            {"mode": "asymmetric", "ber": 0.5, "asymmetric": {"zero_to_one": 3}},
            "ber 0.5 times 3 is more than 1",
        ),
        ({"ber": 0.1, "stuckat": 1}, "did you mean 'stuck_at'"),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        FaultInjector(toy.net(), **given)


def test_a_rule_for_a_site_that_is_not_there_is_an_error():
    rule = {"scheme": "tmr", "layers": {"include": ["conv9"]}}
    with pytest.raises(ConfigError, match=r"protection\.0\.layers\.include: pattern 'conv9'"):
        FaultInjector(toy.net(), ber=0.1, protection=rule)


def test_a_rule_for_bits_that_no_site_of_it_has_is_an_error():
    fc = {"layers": {"include": "fc"}}
    rules = [{"scheme": "tmr", "bits": [0, 7], **fc}, {"scheme": "tmr", "bits": [0, 8]}]
    FaultInjector(toy.net(), ber=0.1, protection=rules[:1])
    with pytest.raises(ConfigError, match=r"protection\.1\.bits: none of its sites has a bit 8"):
        FaultInjector(toy.net(), ber=0.1, protection=rules)


def test_the_self_check_alarms_if_a_model_draws_at_a_wrong_rate(monkeypatch):
    from seu_plugin.faults import mechanisms

    right = mechanisms.draw_fault_map
    monkeypatch.setattr(
        mechanisms, "draw_fault_map", lambda s, words, width, ber: right(s, words, width, 2 * ber)
    )
    with pytest.raises(InjectionError, match=r"self-check failed: site .*stuck cells"):
        outputs(toy.net(), mode="stuck_at", ber=0.02, seed=1)


def test_a_rate_is_a_ber():
    rate = {"upsets_per_bit_day": 1e-3, "exposure": "30 d"}
    injector = FaultInjector(toy.net(), rate=rate, seed=1)
    assert injector.settings.ber == pytest.approx(0.02912, rel=1e-3)
    same = outputs(toy.net(), rate=rate, seed=1)[0][0]
    assert torch.equal(same, outputs(toy.net(), ber=injector.settings.ber, seed=1)[0][0])
