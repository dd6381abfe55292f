"""seu run without a campaign: what evaluate returns is checked as a campaign checks it."""

import sys

import pytest

from seu_plugin.errors import ConfigError
from seu_plugin.host.script import run_script

MINE = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)).eval()

def measured(model, value):
    with torch.no_grad():
        model(torch.ones(2, 4))
    return value

def no_number(model):
    return measured(model, float("nan"))

def many_times(model):
    return measured(model, 24000.0)

def below_zero(model):
    return measured(model, -24.0)

def one_of_two(model):
    return measured(model, [97.0, 100.5])

def percent(model):
    return measured(model, 97.0)

runs = 0

def no_number_under_upsets(model):
    global runs
    runs += 1
    return measured(model, 97.0 if runs == 1 else float("nan"))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    section = tmp_path / "seu.yaml"
    section.write_text("fault_injection: {quantizer: float, ber: 1e-2, seed: 3}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield lambda function, *changes: run_script(
        "mine.py:build", f"mine.py:{function}", [section], changes
    )
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("golden", ["true", "false"])
@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("no_number", "nan"),
        ("many_times", "24000.0"),
        ("below_zero", "-24.0"),
        ("one_of_two", "97.0, 100.5"),
    ],
)
def test_what_is_no_percentage_is_refused(run, function, told, golden):
    with pytest.raises(ConfigError, match=rf"^evaluate: .* 0 \.\.\. 100.* received {told}$"):
        run(function, f"golden_run={golden}")


def test_the_run_under_upsets_is_checked_too(run):
    with pytest.raises(ConfigError, match="received nan"):
        run("no_number_under_upsets", "golden_run=true")


def test_a_percentage_passes(run):
    run("percent")
