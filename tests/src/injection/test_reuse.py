"""Work of the golden run, used again by trials: no bit of what they give is another."""

import copy
import dataclasses
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import toy
from rfquant_hooks.contract import PhaseOutcome
from seu_plugin.analysis.trials import Trial
from seu_plugin.campaign.evaluation import Evaluation
from seu_plugin.injection import late_start
from seu_plugin.injection import reuse as reuse_module
from seu_plugin.injection.free_memory import share_of_free_memory
from seu_plugin.injection.kept import Kept, Output
from seu_plugin.injection.reuse import Reuse
from seu_plugin.settings.section import parse_section

FEATURES, IMAGES = 6, 3
ROOM = 1 << 20


@pytest.fixture(autouse=True)
def small_models_are_worth_it(monkeypatch):
    monkeypatch.setattr(reuse_module, "WORTH", 0.0)


class Counting(nn.Module):
    """Keeps a state, and lets it show."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x + 0.01 * self.calls


class Noisy(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.rand_like(x)


class Remembering(nn.Module):
    """Keeps what another may read."""

    def forward(self, x):
        self.last = x
        return x * 1.5


class Pair(nn.Module):
    def __init__(self, views):
        super().__init__()
        self.views = views

    def forward(self, x):
        return torch.cat((x, 2 * x), 1).chunk(2, 1) if self.views else (x + 1.0, x * 0.5)


class InPlace(nn.Module):
    """Writes into what it is given, without a module that says so."""

    def forward(self, x):
        return x.mul_(1.25)


class Residual(nn.Module):
    def __init__(self, left, right, in_place):
        super().__init__()
        self.left, self.right, self.in_place = left, right, in_place

    def forward(self, x):
        y = self.left(x)
        if self.in_place:
            y = y.clone() if y is x else y
            y += self.right(x)
            return y
        return torch.relu(y + self.right(x))


class Seam(nn.Module):
    """Calls a module, and puts the parts of its output together again."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        one, other = self.inner(x)
        return one - 0.25 * other


KINDS = (
    *("site", "site", "site", "relu", "relu_", "norm", "dropout", "again", "pair"),
    *("identity", "mul_", "counting", "noisy", "remembering"),
)


def _leaf(draw, shared):
    kind = draw(st.sampled_from(KINDS))
    if kind == "again" and shared:
        return shared[draw(st.integers(0, len(shared) - 1))]
    made = {
        "relu": lambda: nn.ReLU(),
        "relu_": lambda: nn.ReLU(inplace=True),
        "norm": lambda: nn.BatchNorm1d(FEATURES),
        "dropout": lambda: nn.Dropout(0.5),
        "pair": lambda: Seam(Pair(draw(st.booleans()))),
        "identity": lambda: nn.Identity(),
        "mul_": InPlace,
        "counting": Counting,
        "noisy": Noisy,
        "remembering": Remembering if draw(st.integers(0, 9)) == 0 else nn.Tanh,
    }.get(kind, lambda: toy.QuanLinear(FEATURES, FEATURES, fixed_bits=(4, 4)))()
    shared.append(made)
    return made


def _part(draw, shared, depth):
    if depth == 0 or draw(st.booleans()):
        return _leaf(draw, shared)
    if draw(st.booleans()):
        parts = [_part(draw, shared, depth - 1) for _ in range(draw(st.integers(1, 3)))]
        return nn.Sequential(*parts)
    left, right = (_part(draw, shared, depth - 1) for _ in range(2))
    return Residual(left, right, draw(st.booleans()))


@st.composite
def networks(draw):
    torch.manual_seed(draw(st.integers(0, 1000)))
    shared = []
    parts = [_part(draw, shared, 2) for _ in range(draw(st.integers(1, 4)))]
    first, last = (toy.QuanLinear(FEATURES, FEATURES, fixed_bits=(4, 4)) for _ in range(2))
    model = nn.Sequential(first, *parts, last).eval()
    with torch.no_grad():
        model(torch.rand(IMAGES, FEATURES))  # step sizes are set
    return model


class Work:
    """A validate over two batches, that keeps all outputs of all of its runs."""

    def __init__(self, model, batches, mode=torch.no_grad):
        self.model, self.batches, self.outputs, self.mode = model, batches, [], mode

    def __call__(self):
        with self.mode():
            outputs = [self.model(batch.clone()) for batch in self.batches]
            self.outputs += [output.clone() for output in outputs]
            for output in outputs:  # the host's own, to write into
                output.zero_()
        last = torch.cat(self.outputs[-len(outputs) :])
        return PhaseOutcome(None, (toy.percent(torch.nan_to_num(last)),))


def run(model, trials, reuse=None, under=torch.no_grad, **section):
    """Rows and outputs of a campaign on a copy of ``model``."""
    torch.manual_seed(0)
    work = Work(copy.deepcopy(model), list(torch.rand(2, IMAGES, FEATURES)), under)
    asked = parse_section({"ber": 0.0, "seed": 3, **section})
    shares = []
    with Evaluation(work.model, work, asked, reuse=reuse) as evaluation:
        rows = [evaluation.golden()]
        for trial in trials:
            rows.append(evaluation.trial(trial))
            shares.append(0.0 if reuse is None else reuse.share)
            if reuse is not None:
                assert reuse.kept.used <= reuse.kept.peak <= reuse.kept.limit
    rows = [dataclasses.replace(row, seconds=0.0) for row in rows]
    return rows, work.outputs, shares


def check_same(model, trials, memory, **changes):
    """What reuse gave, after a look at whether it is what was to be given."""
    rows, outputs, _ = run(model, trials, **changes)
    again, others, shares = run(model, trials, Reuse(memory), **changes)
    assert rows == again
    assert len(outputs) == len(others)
    for one, other in zip(outputs, others):
        assert torch.equal(one.view(torch.int32), other.view(torch.int32))
    return shares


trials_ = st.lists(
    st.one_of(
        st.builds(Trial, st.integers(0, 50), placed=st.integers(1, 3)),
        st.builds(Trial, st.integers(0, 50), ber=st.sampled_from([1e-3, 1e-2, 0.3])),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    networks(),
    trials_,
    st.sampled_from([0, 1, 72, 100, 250, 500, ROOM, ROOM, ROOM]),
    st.sampled_from([torch.no_grad, torch.no_grad, torch.inference_mode]),
    st.sampled_from([1, 2, late_start.TRIES]),
)
def test_reuse_changes_no_bit(model, trials, memory, mode, tries):
    with mock.patch.object(late_start, "TRIES", tries):
        check_same(model, trials, memory, under=mode)


class Mapping(nn.Module):
    """Makes the same dict anew each time, as the published host's quantizer."""

    def forward(self, x):
        self.bit_mapping = {32: 0}
        self.sizes = [{"x": (1, 2.5)}]
        return x * 1.5


def test_an_attribute_that_is_set_to_the_same_again_is_no_change():
    model = chain(Mapping())
    model(torch.rand(IMAGES, FEATURES))
    assert min(check_same(model, LAST, ROOM)) > 0.0


def test_where_all_is_upset_nothing_is_watched():
    model = nn.Sequential(*(chain() for _ in range(3))).eval()
    everywhere = Trial(0, 0.2)
    (few, *_, all_of_them) = check_same(model, [Trial(0, site="1.2", placed=1), everywhere], ROOM)
    assert few > 0.0 and all_of_them == 0.0


def chain(*between):
    torch.manual_seed(1)
    sites = [toy.QuanLinear(FEATURES, FEATURES, fixed_bits=(4, 4)) for _ in range(4)]
    model = nn.Sequential(*sites[:2], *between, *sites[2:]).eval()
    with torch.no_grad():
        model(torch.rand(IMAGES, FEATURES))
    return model


LAST = [Trial(n, site="3", placed=1) for n in range(4)]


CALLS = []


class Told(nn.Module):
    """Says that it was called, where no one looks."""

    def forward(self, x):
        CALLS.append(len(x))
        return x + 0.0


def test_what_comes_before_the_first_upset_is_not_computed_again():
    model = chain(Told())
    CALLS.clear()
    run(model, LAST)
    assert len(CALLS) == 2 * (1 + len(LAST))
    CALLS.clear()
    assert min(run(model, LAST, Reuse(ROOM))[2]) > 0.0
    assert len(CALLS) == 2
    CALLS.clear()
    assert min(run(model, LAST, Reuse(ROOM), under=torch.inference_mode)[2]) > 0.0
    assert len(CALLS) == 2


def test_without_room_nothing_is_reused():
    assert max(check_same(chain(), LAST, 0)) == 0.0
    assert max(check_same(chain(), LAST, 71)) == 0.0


def test_outputs_leave_the_rest_of_one_budget(monkeypatch):
    monkeypatch.setattr("seu_plugin.injection.reuse.share_of_free_memory", lambda device: 1000)
    reuse = Reuse(100)
    reuse.kept.reserve(30)
    assert reuse.left_on_cpu() == 70
    assert Reuse(None, processes=2).left_on_cpu() == 500  # no outputs are kept


def test_with_room_for_one_output_one_is_kept():
    model = chain()
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    shares = check_same(model, LAST, buffers + 2 * 4 * IMAGES * FEATURES)
    assert min(shares) > 0.0


def test_an_upset_that_is_masked_ends_the_trial():
    class Rounded(nn.Module):
        def forward(self, x):
            return x.sign()

    told = Told()
    model = chain(Rounded(), told)
    trials = [Trial(n, site="0", bit=0, placed=1) for n in range(12)]
    shares = check_same(model, trials, ROOM)
    assert max(shares) > 0.0  # nothing comes before the first layer


@pytest.mark.parametrize(
    "section",
    [
        {"persistence": "per_forward"},
        {"targets": ["weights", "activations"]},
        {"targets": ["step_sizes"]},
        {"targets": ["weights", "biases"]},
    ],
)
def test_what_is_not_a_static_map_of_weights_is_computed(section):
    trials = [Trial(n, 0.01) for n in range(3)]
    assert max(check_same(chain(), trials, ROOM, **section)) == 0.0


@pytest.mark.parametrize(
    "section",
    [
        {"mode": "stuck_at"},
        {"protection": [{"scheme": "secded_72_64", "layers": {"include": ["*"]}}]},
        {"weight_cache": False},
        {"layers": {"include": ["3"]}},
    ],
)
def test_rows_are_the_same_under_other_settings(section):
    trials = [Trial(n, 0.06 if "protection" in section else 0.005) for n in range(6)]
    assert max(check_same(chain(), trials, ROOM, **section)) > 0.0


def test_another_input_than_in_the_golden_run_is_computed():
    model, work = chain(), []

    class Shuffled(Work):
        def __call__(self):
            work.append(0)
            self.batches = [batch + len(work) for batch in self.batches]
            return super().__call__()

    rows = []
    for reuse in (None, Reuse(ROOM)):
        work.clear()
        validate = Shuffled(copy.deepcopy(model), [torch.ones(IMAGES, FEATURES)])
        asked = parse_section({"ber": 0.0, "seed": 3})
        with Evaluation(validate.model, validate, asked, reuse=reuse) as evaluation:
            evaluation.golden()
            rows.append([evaluation.trial(trial).metrics for trial in LAST])
    assert rows[0] == rows[1] and reuse.share == 0.0


def test_hooks_of_others_are_called():
    model, seen = chain(), []
    inside = nn.Sequential(nn.ReLU(), nn.Tanh())
    model = nn.Sequential(*model[:2], inside, *model[2:])
    validate = Work(model, [torch.ones(IMAGES, FEATURES)])
    with Evaluation(model, validate, parse_section({"ber": 0.0}), reuse=Reuse(ROOM)) as evaluation:
        evaluation.golden()
        inside[0].register_forward_hook(lambda *_: seen.append(0))
        for trial in (Trial(n, site="4", placed=1) for n in range(3)):
            evaluation.trial(trial)
    assert len(seen) == 3


def test_gradients_flow_through_computed_forwards():
    model, losses = chain(), []

    def validate():
        output = model(torch.ones(IMAGES, FEATURES))
        output.sum().backward()
        losses.append(model[0].weight.grad.abs().sum().item())
        return PhaseOutcome(None, (toy.percent(output.detach()),))

    with Evaluation(model, validate, parse_section({"ber": 0.0}), reuse=Reuse(ROOM)) as evaluation:
        evaluation.golden()
        for trial in (Trial(n, site="3", placed=1) for n in range(3)):
            evaluation.trial(trial)
            assert evaluation.reuse.share == 0.0
    assert len(losses) == 4


def test_the_model_is_as_before():
    model = chain(nn.ReLU())
    before = [dict(vars(module)) for module in model.modules()]
    run_on = Work(model, [torch.ones(IMAGES, FEATURES)])
    reuse = Reuse(ROOM)
    with Evaluation(model, run_on, parse_section({"ber": 0.0}), reuse=reuse) as evaluation:
        evaluation.golden()
        evaluation.trial(LAST[0])
    after = [dict(vars(module)) for module in model.modules()]
    assert [list(one) for one in before] == [list(one) for one in after]
    assert len(reuse.kept) == 0


@pytest.mark.parametrize("calibration", ["clean", "faulty"])
def test_architectures_that_take_turns_and_batch_norm_calibrated(calibration):
    """As a host's validate does: widths change, statistics are made anew in train mode."""
    rows, exposed = [], "fc" if calibration == "clean" else "conv1"
    for reuse in (None, Reuse(ROOM)):
        model, outputs, shares = toy.net(((4, 4), (3, 5))), [], []

        def validate(model=model, outputs=outputs):
            for bits in (((4, 4), (3, 5)), ((2, 4), (4, 4))):
                toy.set_bits(model, bits)
                norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
                with torch.no_grad():
                    for norm in norms:
                        norm.reset_running_stats()
                        norm.train()
                    model(toy.batch(8))
                    model.eval()
                    outputs += [model(toy.batch(8)[start : start + 4]) for start in (0, 4)]
            return PhaseOutcome(None, (toy.percent(torch.cat(outputs[-4:])),))

        section = {
            "ber": 0.0,
            "seed": 3,
            "bn_calibration": calibration,
            "layers": {"include": [exposed]},
        }
        section = parse_section(section)
        with Evaluation(model, validate, section, reuse=reuse) as evaluation:
            evaluation.golden()
            found = []
            for number in range(8):
                found.append(evaluation.trial(Trial(number, 3e-2)))
                shares.append(0.0 if reuse is None else reuse.share)
        rows.append(([dataclasses.replace(one, seconds=0.0) for one in found], outputs))
    assert rows[0][0] == rows[1][0]
    assert all(torch.equal(one, other) for one, other in zip(rows[0][1], rows[1][1]))
    assert (min(shares) > 0.0) == (calibration == "clean")


def test_many_forwards_are_written_down_once():
    model = chain(nn.BatchNorm1d(FEATURES).eval())
    validate = Work(model, list(torch.rand(20, IMAGES, FEATURES)))
    reuse = Reuse(ROOM)
    with Evaluation(model, validate, parse_section({"ber": 0.0}), reuse=reuse) as evaluation:
        evaluation.golden()
        forwards = reuse._golden
        assert len(forwards) == 20
        assert len({id(one.calls) for one in forwards[1:]}) == 1
        assert len({id(one.tensors) for one in forwards}) == 1


def test_what_costs_less_than_watching_it_is_computed(monkeypatch):
    monkeypatch.setattr(reuse_module, "WORTH", 1e6)
    assert max(check_same(chain(), LAST, ROOM)) == 0.0


def test_what_saves_least_a_byte_is_given_up_first():
    slow, fast = nn.Tanh(), nn.ReLU()
    kept = Kept(100)

    def add(forward, module, gain):
        return kept.add(forward, module, Output((torch.zeros(10),), True, False), gain)

    assert add(0, slow, 2.0) and add(0, fast, 1.0)
    assert add(1, slow, 2.0)  # 120 bytes are too many: fast goes
    assert kept.find(0, fast) is None and not kept.wants(fast)
    assert kept.find(0, slow) is not None and kept.find(1, slow) is not None
    assert not add(2, slow, 2.0)  # alone, it stays where it is
    assert kept.wants(slow) and (kept.used, kept.peak, len(kept)) == (80, 80, 2)


def test_memory_that_outputs_share_counts_once():
    kept, tensor = Kept(40), torch.zeros(10)
    assert kept.add(0, nn.Tanh(), Output((tensor,), True, False), 1.0)
    assert kept.add(0, nn.ReLU(), Output((tensor,), True, False), 1.0)
    assert kept.used == 40


def test_what_was_written_to_is_dropped():
    kept, module, tensor = Kept(40), nn.Tanh(), torch.zeros(10)
    kept.add(0, module, Output((tensor,), True, False), 1.0)
    tensor.add_(1.0)
    assert kept.find(0, module) is None and kept.used == 0


def test_a_share_of_free_memory_is_there():
    assert share_of_free_memory(torch.device("cpu")) > 0
