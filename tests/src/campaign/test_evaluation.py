"""One trial after the other on one model: each as if it had been run alone."""

import copy

import pytest
import torch
from torch import nn

import toy
from rfquant_hooks.contract import PhaseOutcome
from seu_plugin import FaultInjector
from seu_plugin.analysis.strata import place_trial
from seu_plugin.analysis.trials import Outcomes, Trial
from seu_plugin.campaign.evaluation import Evaluation
from seu_plugin.errors import ConfigError, InjectionError, SeuWarning, SiteError
from seu_plugin.settings.section import parse_section

IMAGES = toy.batch(16)


def settings(**section):
    return parse_section({"ber": 0.0, "seed": 3, **section})


class Work:
    """A made-up validate: its outputs, and an accuracy that tells them apart."""

    def __init__(self, model):
        self.model, self.runs = model, 0

    def __call__(self):
        self.runs += 1
        with torch.no_grad():
            output = self.model(IMAGES)
        return PhaseOutcome(output, (toy.percent(output),))


@pytest.fixture
def model():
    return toy.net()


@pytest.fixture
def work(model):
    return Work(model)


def alone(model, trial, **section):
    """The accuracy of a trial that is run by an injector of its own."""
    injector = FaultInjector(model, ber=trial.ber, seed=3, trial=trial.number, **section)
    with injector, torch.no_grad():
        return toy.percent(model(IMAGES)), injector.statistics()


def test_each_trial_is_as_if_run_alone(model, work):
    trials = [Trial(n, ber) for n in range(4) for ber in (1e-2, 1e-3, 0.3)]
    with Evaluation(model, work, settings()) as evaluation:
        evaluation.golden()
        found = [evaluation.trial(trial) for trial in (*trials, *reversed(trials))]
    for trial, *results in zip(trials, found, reversed(found)):
        accuracy, statistics = alone(model, trial)
        for result in results:
            assert result.metrics == (accuracy,)
            assert result.upsets == sum(s.upsets for s in statistics.values())
            assert result.words_hit == sum(s.words_hit for s in statistics.values())
            assert result.upsets_by_site == {n: s.upsets for n, s in statistics.items() if s.upsets}


@pytest.mark.parametrize(
    "section",
    [{"bits": "msb"}, {"layers": ["conv*"]}, {"encoding": "gray"}, {"weight_cache": False}],
)
def test_settings_hold_in_each_trial(model, work, section):
    with Evaluation(model, work, settings(**_as_yaml(section))) as evaluation:
        evaluation.golden()
        result = evaluation.trial(Trial(2, 0.1))
    assert result.metrics == (alone(model, Trial(2, 0.1), **section)[0],)


def _as_yaml(section):
    layers = section.get("layers")
    return {**section, "layers": {"include": layers}} if layers else section


def test_fresh_maps_begin_anew_in_each_trial(model, work):
    with Evaluation(model, work, settings(persistence="per_forward")) as evaluation:
        evaluation.golden()
        one, _, two = (evaluation.trial(Trial(n, 0.1)).metrics for n in (1, 2, 1))
    assert one == two


def test_a_trial_without_an_upset_takes_the_golden_result_without_a_run(model, work):
    with Evaluation(model, work, settings()) as evaluation:
        golden = evaluation.golden()
        result = evaluation.trial(Trial(0, 1e-9))
    assert work.runs == 1
    assert (result.ran, result.upsets, result.metrics) == (False, 0, golden.metrics)
    assert (
        result.bits == golden.bits == sum(s.bits for s in alone(model, Trial(0, 0.1))[1].values())
    )
    assert result.outcomes == Outcomes(16, 0, 0, 0)


def test_skipped_trials_are_those_without_an_upset(model, work):
    with Evaluation(model, work, settings()) as evaluation:
        evaluation.golden()
        found = [evaluation.trial(Trial(n, 1e-4)) for n in range(20)]
    assert {result.ran for result in found} == {True, False}
    assert all(result.ran == (result.upsets > 0) for result in found)


def test_the_golden_run_is_clean_and_quantized_weights_are_kept(model, work):
    expected = work().metrics
    calls = []
    forward = model.conv2.quan_w_fn.forward

    def counted(*args, **kwargs):
        calls.append(1)
        return forward(*args, **kwargs)

    model.conv2.quan_w_fn.forward = counted
    with Evaluation(model, work, settings()) as evaluation:
        assert evaluation.golden().metrics == expected
        for number in range(5):
            evaluation.trial(Trial(number, 0.1))
    assert len(calls) == 2  # the golden run, and once for all trials


def test_placed_upsets_are_all_that_there_is(model, work):
    with Evaluation(model, work, settings()) as evaluation:
        evaluation.golden()
        trial = Trial(4, site="conv2", bit=3, placed=2)
        result = evaluation.trial(trial)
        (fault_map,) = place_trial(trial, evaluation.stored.memory, 3).values()
    assert (result.upsets, result.upsets_by_site) == (2, {"conv2": 2})
    with torch.no_grad():
        clean = model.conv2.quan_w_fn(model.conv2.weight, 4)
        step = model.conv2.quan_w_fn.get_scale(4)
        codes = (clean / step).round().int().flatten()
        codes[fault_map.index] ^= -(1 << 3)  # the sign bit of four: the rest is its extension
        codes = ((codes + 8) & 15) - 8
        weights = codes.reshape(clean.shape) * step
    other = copy.deepcopy(model)
    other.conv2.quan_w_fn.forward = lambda *args, **kwargs: weights
    assert result.metrics == Work(other)().metrics


def test_exposed_bits_of_each_site(model, work):
    with Evaluation(model, work, settings(bits=[0, 3])) as evaluation:
        evaluation.golden()
        assert evaluation.stored.memory["conv2"] == (1152, [0, 3])
        assert evaluation.stored.memory["conv3"] == (2304, [0])  # three bits wide
        assert evaluation.stored.bits == sum(
            words * len(bits) for words, bits in evaluation.stored.memory.values()
        )


def test_several_widths_have_no_bit_positions_in_common(model):
    def run():
        with torch.no_grad():
            for width in (4, 5):
                toy.set_bits(model, ((width, 4), (3, 5)))
                model(IMAGES)
        return PhaseOutcome(None, (1.0, 2.0))

    with Evaluation(model, run, settings()) as evaluation:
        evaluation.golden()
        with pytest.raises(ConfigError, match=r"'conv2' was evaluated at several widths \(4, 5\)"):
            evaluation.stored.memory  # noqa: B018


def test_nothing_is_left_behind(model, work):
    states = {k: v.clone() for k, v in model.state_dict().items()}
    golden, generator = work().value, torch.get_rng_state()
    with Evaluation(model, work, settings()) as evaluation:
        evaluation.golden()
        evaluation.trial(Trial(0, 0.3))
    assert torch.equal(work().value, golden)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(v, states[k]) for k, v in model.state_dict().items())
    assert not any("forward" in vars(module) for module in model.modules())


def test_step_sizes_that_the_golden_run_initialized_stay():
    model = toy.net(warm=False)
    plain = copy.deepcopy(model)
    with Evaluation(model, Work(model), settings()) as evaluation:
        evaluation.golden()
        evaluation.trial(Trial(0, 0.3))
    Work(plain)()
    for name, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_generators_are_the_same_in_each_run(model):
    seen = []

    def run():
        seen.append(float(torch.rand(())))
        with torch.no_grad():
            model(IMAGES)
        return PhaseOutcome(None, (1.0,))

    with Evaluation(model, run, settings()) as evaluation:
        evaluation.golden()
        evaluation.trial(Trial(0, 0.3))
    assert seen[0] == seen[1]


def test_outcomes_can_be_left_out(model, work):
    with Evaluation(model, work, settings(), outcomes=False) as evaluation:
        assert evaluation.golden().outcomes is None
        assert evaluation.trial(Trial(0, 0.3)).outcomes is None


def test_an_evaluation_without_an_accuracy_is_an_error(model):
    def run():
        with torch.no_grad():
            model(IMAGES)
        return PhaseOutcome(None)

    with pytest.raises(ConfigError, match="no accuracy"):
        with Evaluation(model, run, settings()) as evaluation:
            evaluation.golden()


def test_an_evaluation_that_runs_no_forward_is_an_error(model):
    with pytest.raises(InjectionError, match="not one forward"):
        with Evaluation(model, lambda: PhaseOutcome(None, (1.0,)), settings()) as evaluation:
            evaluation.golden()


def test_a_trial_that_does_not_inject_is_an_error(model, work):
    def run():
        return work() if work.runs == 0 else PhaseOutcome(None, (1.0,))

    with pytest.raises(InjectionError, match="was asked to inject and did not"):
        with Evaluation(model, run, settings()) as evaluation:
            evaluation.golden()
            evaluation.trial(Trial(0, 0.3))
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("name", ["conv1.weight", "fc.bias", "conv3.quan_w_fn.s"])
def test_another_model_has_another_digest(model, work, name):
    digests = []
    for _ in range(2):
        with Evaluation(model, work, settings()) as evaluation:
            evaluation.golden()
            evaluation.trial(Trial(0, 0.3))
        digests.append(evaluation.model_digest)
    assert digests[0] == digests[1]
    with torch.no_grad():
        model.state_dict()[name].view(-1)[0] += 1e-4
    with Evaluation(model, work, settings()) as evaluation:
        assert evaluation.model_digest != digests[0]


class Half(nn.Module):
    """A network with a layer that no forward uses."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.used(x)


def test_a_site_that_no_forward_passes_through_is_told_of():
    model = Half().eval()
    run = lambda: PhaseOutcome(model(torch.ones(2, 4)), (50.0,))  # noqa: E731
    with (
        Evaluation(model, run, settings(quantizer="float")) as evaluation,
        pytest.warns(SeuWarning, match="no forward passed through unused: they are not upset"),
    ):
        evaluation.golden()


def observed():
    """A network of torch.ao's whose fake quantization learns in every forward, eval mode too."""
    from torch.ao import quantization as ao

    model = nn.Sequential(nn.Linear(4, 4)).train()
    model.qconfig = ao.get_default_qat_qconfig("fbgemm")
    model = ao.prepare_qat(model)
    model(torch.ones(2, 4))
    return model.eval()


def test_observers_that_still_learn_are_refused_before_any_run():
    runs = []
    with pytest.raises(ConfigError, match=r"still observes, .*disable_observer"):
        Evaluation(observed(), lambda: runs.append(1), settings()).__enter__()
    assert not runs


def test_what_cannot_be_upset_is_refused_before_any_run():
    from torch.ao import quantization as ao

    model, runs = observed().apply(ao.disable_observer).apply(ao.disable_fake_quant), []
    with pytest.raises(SiteError, match="switched off"):
        Evaluation(model, lambda: runs.append(1), settings()).__enter__()
    assert not runs
