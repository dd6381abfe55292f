"""seu run: a model and an evaluation of a user's own, by the command and by calls."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import toy
from kept import agree, rows
from seu_plugin import Campaign
from seu_plugin.analysis.manifest import read_manifest
from seu_plugin.analysis.rows import TRIALS
from seu_plugin.campaign.verify import without_changes
from seu_plugin.commands import main
from seu_plugin.errors import ConfigError
from seu_plugin.settings.merged import changed, parse_change

TESTS = Path(__file__).resolve().parents[2]
IMAGES = toy.batch(16)
MINE = f"""
import sys, time
sys.path.insert(0, {str(TESTS)!r})
import torch, toy

IMAGES = toy.batch(16)
with torch.no_grad():
    LABELS = toy.net()(IMAGES).argmax(1)
number = 3

def build():
    return toy.net()

def scores(model):
    print("a line of mine")
    with torch.no_grad():
        return (model(IMAGES).argmax(1) == LABELS).double()

def accuracy(model):
    return 100.0 * float(scores(model).mean())

def slowly(model):
    time.sleep(0.1)
    return scores(model)

def fraction(model):
    return float(scores(model).mean())

def leaves(model):
    sys.exit(0)

def fails(model):
    raise KeyError("of mine")

def size(width):
    return toy.net()

def nothing():
    return 5
"""
SECTION = "{seed: 3, campaign: {ber: [1e-3, 1e-2], trials: 6, threshold: grid, output: out, "
ONLY_TRAINING = ("--set", "enable_in_inference=false", "--set", "enable_in_training=true")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "c.yaml").write_text(f"fault_injection: {SECTION}threads: 1}}}}")
    (tmp_path / "one.yaml").write_text("fault_injection: {ber: 1e-2, seed: 3}")
    return tmp_path


def seu(folder, *arguments):
    command = [sys.executable, "-m", "seu_plugin", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def done(folder, *arguments, code=0):
    process = seu(folder, *arguments)
    out = process.communicate(timeout=120)[0]
    assert process.returncode == code, out
    return out


def mine(evaluate="scores", config="c.yaml", *more, model="build"):
    return ("run", "--model", f"mine:{model}", "--evaluate", f"mine.py:{evaluate}", config, *more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder of the campaign with the same settings, from Python."""
    folder = tmp_path_factory.mktemp("whole")
    model = toy.net()
    with torch.no_grad():
        labels = model(IMAGES).argmax(1)

    def evaluate():
        with torch.no_grad():
            return (model(IMAGES).argmax(1) == labels).double()

    asked = {"ber": [1e-3, 1e-2], "trials": 6, "threshold": "grid", "seed": 3}
    Campaign(model, evaluate, output=str(folder), **asked).run()
    return folder


@pytest.mark.slow
def test_rows_are_those_of_a_campaign_from_python(folder, whole):
    out = done(folder, *mine())
    assert agree(rows(folder / "out"), rows(whole))
    assert out.count("a line of mine") == 1 and "Other images" in out
    assert "a line of mine" in (folder / "out" / "host.log").read_text()
    manifest = read_manifest(folder / "out")
    assert (manifest["host"], manifest["cwd"]) == ("seu run", str(folder))
    replayed = done(folder, "replay", "--yes", "out", "0.01:3")
    assert replayed.splitlines()[-1] == "identical"


@pytest.mark.slow
def test_workers_give_the_rows_of_one_process(folder, whole):
    done(folder, *mine("scores", "c.yaml", "--set", "campaign.workers=2"))
    assert agree(rows(folder / "out"), rows(whole))
    assert (folder / "out" / "worker-1.log").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_campaign_goes_on_where_it_stopped(folder, whole, number, code):
    process = seu(folder, *mine("slowly"))
    while process.poll() is None:
        if (folder / "out" / TRIALS).exists() and len(rows(folder / "out")) > 3:
            break
        time.sleep(0.02)
    os.kill(process.pid, number)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == code, out
    kept = len(rows(folder / "out")) - 1
    assert kept < 12 and "Traceback" not in out
    if code > 0:
        told = f"stopped; {kept} trials are safe in out: the same command goes on from there"
        assert out.splitlines()[-1] == f"seu-plugin: {told}"
    done(folder, *mine("slowly"))
    assert agree(rows(folder / "out"), rows(whole))


@pytest.mark.slow
def test_what_the_users_function_raises_is_a_traceback(folder):
    out = done(folder, *mine("fails"), code=1)
    assert "Traceback" in out and out.splitlines()[-1] == "KeyError: 'of mine'"


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Exit code, standard output and standard error of a command in this process."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def _call(*arguments):
        monkeypatch.setattr("sys.argv", ["seu", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    yield _call
    sys.modules.pop("mine", None)


def test_without_a_campaign_it_is_a_golden_and_a_faulted_run(call):
    code, out, _ = call(*mine("accuracy", "one.yaml"))
    assert code == 0 and out.count("a line of mine") == 2
    assert "golden accuracy:  100.00 %" in out and "at BER 0.01" in out and "conv3" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (mine("scoers"), "--evaluate: mine.py has no function 'scoers'; did you mean 'scores'?"),
        (mine("number"), "--evaluate: mine.py:number must be a function; received a int"),
        (
            mine(model="size"),
            "--model: mine:size is called without arguments and cannot be: missing",
        ),
        (mine("build"), "--evaluate: mine.py:build is called with model alone and cannot be"),
        (mine(model="nothing"), "must be a torch.nn.Module; received a int"),
        (mine("fraction"), "the golden run gave 1.0, which looks like a fraction"),
        (mine("leaves"), "--evaluate: mine.py:leaves ended the process (SystemExit: 0)"),
        (("run", "--model", "mime:b", "--evaluate", "mine:s", "c.yaml"), "did you mean 'mine'?"),
        (
            ("run", "--model", "mime.py:b", "--evaluate", "mine:s", "c.yaml"),
            "mime.py: no such file",
        ),
        (("run", "--model", "build", "--evaluate", "mine:s", "c.yaml"), "must be module:function"),
        (mine("scores", "none.yaml"), "none.yaml: cannot read"),
        (mine("scores", "c.yaml", "--set", "campaign.trails=3"), "--set campaign.trails=3: "),
        (mine("scores", "c.yaml", "--set", "campaign.trials"), "must be KEY=VALUE"),
        (
            mine("scores", "one.yaml", *ONLY_TRAINING),
            "fault_injection.enable_in_inference: must be true: seu run evaluates",
        ),
        (mine("scores", "one.yaml", "--set", "enabled=false"), "fault_injection.enabled: must be"),
        (mine("scores", "one.yaml", "--set", "bn_calibration=both"), "allowed with seu run"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value[2:]),
)
def test_mistakes_are_one_line_and_exit_code_2(call, arguments, message):
    code, _, err = call(*arguments)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert err.startswith("error: ") and message in err


def test_a_module_that_its_own_import_misses_is_the_users_traceback(call, folder):
    (folder / "mine.py").write_text("import not_there_at_all")
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        call(*mine())


@pytest.mark.parametrize(("widths", "code"), [([2, 5], 0), ([2, 5, 4], 2)])
def test_widths_of_a_file_are_applied_and_checked(call, folder, widths, code):
    one = {"weight_bits": widths, "act_bits": [6] * len(widths)}
    (folder / "w.json").write_text(json.dumps({"configurations": [one]}))
    found, _, err = call(*mine("scores", "c.yaml", "--set", "bit_width_config={path: w.json}"))
    assert found == code
    if code:
        assert "weight_bits has 3 entries, but the model has 2" in err
    else:
        used = read_manifest(folder / "out")["identity"]["widths"]
        assert (used["conv2"], used["conv3"]) == ([2], [5])


def test_such_a_section_is_checked(call):
    assert call("check", "c.yaml")[:2] == (
        0,
        "fault_injection: ok; campaign of 6 trials at each of 2 BERs in validate\n",
    )


def test_changes_are_read_as_yaml_and_make_what_is_missing():
    changes = [parse_change(text) for text in ("a.b=[1, x]", "c=null", "a.d=1e-3")]
    assert changed({"a": None, "c": 5}, changes) == {"a": {"b": [1, "x"], "d": "1e-3"}, "c": None}


@pytest.mark.parametrize("text", ["trials=0x10", "fault_injection.ber=1", "a..b=1", "a=[", "a="])
def test_a_change_that_cannot_be_read_is_an_error(text):
    with pytest.raises(ConfigError, match=r"^--set "):
        parse_change(text)


def test_a_plan_of_protection_wins_over_changes_of_the_command():
    command = [
        "seu",
        "run",
        "--set",
        "campaign.output=x",
        "--set=campaign.trials=4",
        "--set",
        "ber=1",
    ]
    section = {"protection": [], "campaign": {"output": "y", "trials": 9}}
    assert without_changes(command, section) == ["seu", "run", "--set", "ber=1"]
