"""The first trials that reuse work are run twice: a model that hides what it does is found out."""

import collections
import warnings

import pytest
import torch
from torch import nn

import toy
from rfquant_hooks.contract import PhaseOutcome
from seu_plugin.analysis.trials import Trial
from seu_plugin.campaign.evaluation import Evaluation
from seu_plugin.campaign.reuse_check import CHECKED
from seu_plugin.errors import SeuWarning
from seu_plugin.injection import reuse as reuse_module
from seu_plugin.injection.reuse import Reuse
from seu_plugin.settings.section import parse_section

FEATURES = 6


@pytest.fixture(autouse=True)
def small_models_are_worth_it(monkeypatch):
    monkeypatch.setattr(reuse_module, "WORTH", 0.0)


class Push(nn.Module):
    def __init__(self, stack):
        super().__init__()
        self.stack = (stack,)  # not looked into

    def forward(self, x):
        self.stack[0].put(x)
        return x * 1.5


class Pop(nn.Module):
    def __init__(self, stack):
        super().__init__()
        self.stack = (stack,)

    def forward(self, x):
        return x + self.stack[0].get()


class Stack:
    def __init__(self):
        self.kept = collections.deque()

    def put(self, x):
        self.kept.append(x)

    def get(self):
        return self.kept.pop()


class Context(Stack):
    """As a stack; gives zeros if nobody has put anything there."""

    def get(self):
        return self.kept.pop() if self.kept else 0.0


def layer():
    return toy.QuanLinear(FEATURES, FEATURES, fixed_bits=(4, 4))


def chain(*between):
    torch.manual_seed(1)
    first, second, last = between or (nn.ReLU(), nn.ReLU(), nn.ReLU())
    model = nn.Sequential(layer(), first, layer(), second, layer(), last).eval()
    with torch.no_grad():
        model(torch.rand(3, FEATURES))
    return model


def run(model, reuse, trials=6):
    runs, images = [], torch.rand(2, 3, FEATURES, generator=torch.Generator().manual_seed(0))

    def validate():
        with torch.no_grad():
            outputs = torch.cat([model(batch) for batch in images])
        runs.append(outputs.clone())
        return PhaseOutcome(None, (toy.percent(outputs),))

    with Evaluation(model, validate, parse_section({"ber": 0.0, "seed": 3}), reuse=reuse) as made:
        rows = [made.golden()]
        rows += [made.trial(Trial(n, site="4", placed=1)) for n in range(trials)]
    return [{**row.row(), "seconds": 0} for row in rows], runs, rows


def test_the_first_trials_are_run_twice():
    plain, reused = run(chain(), None), run(chain(), Reuse(1 << 20))
    assert reused[0] == plain[0]
    assert len(reused[1]) == len(plain[1]) + CHECKED
    told = [row.reused for row in reused[2][1:]]
    assert told[:CHECKED] == [None] * CHECKED and min(told[CHECKED:]) > 0.0


def test_statistics_of_a_trial_that_is_run_twice_are_of_one_run():
    rows = run(chain(), Reuse(1 << 20), trials=1)[0]
    assert rows[1]["upsets"] == 1


@pytest.mark.parametrize("stack", [Stack, Context])
def test_modules_that_tell_each_other_what_no_one_sees_are_found_out(stack):
    def make():
        shared = stack()
        return chain(Push(shared), nn.ReLU(), Pop(shared))

    plain = run(make(), None)
    with pytest.warns(SeuWarning, match=r"campaign\.reuse: trial 4#\*:0 gives something else"):
        reused = run(make(), Reuse(1 << 20))
    assert reused[0] == plain[0]


def test_an_error_of_the_model_itself_is_not_reuse_s():
    class Failing(nn.Module):
        calls = 0

        def forward(self, x):
            Failing.calls += 1
            if Failing.calls > 2 + 1:  # after the golden run, and what made it
                raise ArithmeticError("of its own")
            return x

    with warnings.catch_warnings(), pytest.raises(ArithmeticError, match="of its own"):
        warnings.simplefilter("error")
        run(chain(nn.ReLU(), nn.ReLU(), Failing()), Reuse(1 << 20))
