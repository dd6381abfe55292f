"""A fork of the demo host, whose validate is elsewhere and has other names, run by its profile."""

import ast
import shutil

import pytest

from kept import agree, rows

WIDTHS = {"path": "search/resnet18_digits_bit_width_config.json"}
PROFILE = """
name: fork
read_config: util.config:get_config
build_model: quan.utils:replace_module_by_names
phases:
  - {phase: train, module: process, function: train}
  - phase: validate
    module: evaluation.run
    function: evaluate
    model: net
    config: settings
    policy: architectures
    data: batches
    read_metrics: 0
  - {phase: calibrate, module: util.utils, function: calibrate_batchnorm_state, config: none}
"""
#: What is called otherwise in the fork's validate, and in its main.
RENAMED = {
    "def validate(": "def evaluate(",
    "data_loader": "batches",
    "model": "net",
    "net_profiling": "model_profiling",
    "configs": "settings",
    "eval_predefined_arch": "architectures",
    "for meter in meters]": "for meter in meters], len(meters)",
}
CALLED = {
    "import train, validate": "import train\nfrom evaluation.run import evaluate",
    "ret = validate(": "ret = evaluate(",
    "eval_predefined_arch=": "architectures=",
}


def renamed(text, names):
    for old, new in names.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def fork(demo, tmp_path_factory):
    """The demo host with its checkpoint and with evaluation/run.py in place of validate; it returns
    the accuracies and the number of architectures."""
    folder = tmp_path_factory.mktemp("fork") / "demo_host"
    shutil.copytree(demo.folder, folder)
    head, _, rest = (folder / "process.py").read_text().partition("def train(")
    train, _, validate = rest.partition("def validate(")
    (folder / "process.py").write_text(f"{head}def train({train}")
    (folder / "evaluation").mkdir()
    moved = renamed(f"def validate({validate}", RENAMED)
    (folder / "evaluation" / "run.py").write_text(head + moved)
    main = folder / "main.py"
    main.write_text(renamed(main.read_text(), CALLED))
    (folder.parent / "fork.yaml").write_text(PROFILE)
    return type(demo)(folder)


def by_profile(fork, *args):
    return fork.call("-m", "rfquant_hooks", "--profile", "fork.yaml", fork.main, *args)


def test_it_runs_as_it_is(demo, fork):
    assert ast.literal_eval(fork.plain(fork.eval).stdout.splitlines()[-1]) == (
        ast.literal_eval(demo.golden.stdout.splitlines()[-1]),
        1,
    )


def test_its_faulted_run_is_that_of_the_host(demo, fork):
    section = {"ber": 1e-2, "seed": 42, "bit_width_config": WIDTHS}
    name, config = demo.yaml("profile", section), fork.yaml("profile", section)
    hosts = demo.hooked(name).stdout.splitlines()[-1]
    forks = by_profile(fork, config).stdout.splitlines()[-1]
    assert ast.literal_eval(forks) == (ast.literal_eval(hosts), 1)


def campaign(host, **settings):
    folder = host.folder.parent / "results" / "profile"
    asked = {"ber": [1e-2], "trials": 4, "threshold": "grid", "threads": 1, "output": str(folder)}
    section = {"seed": 42, "bit_width_config": WIDTHS, "campaign": {**asked, **settings}}
    return host.yaml("profile-campaign", section), folder


def test_worker_processes_run_it_by_the_profile_too(demo, fork):
    config, expected = campaign(demo)
    demo.hooked(config)
    config, found = campaign(fork, workers=2)
    by_profile(fork, config)
    one, other = rows(expected), rows(found)
    assert len(one) == 5 and agree(one, other)
    assert one["golden"].images == other["golden"].images == 360
