"""Every configuration of examples/configs runs on the demo host and shows what it says."""

import json
from pathlib import Path

import pytest
from scipy.optimize import brentq

from seu_plugin.analysis.paired import compared
from seu_plugin.memory.ecc import SECDED
from seu_plugin.memory.residual import residual
from seu_plugin.settings.section import SECTION, parse_section

CONFIGS = Path(__file__).resolve().parents[2] / "examples" / "configs"
#: Compared with each other.
TRAINING = {"plain_evaluation", "fault_aware_training", "fault_aware_evaluation"}
NETWORKS = ("digits", "fault_aware")
#: What its output has to say.
SHOWS = {
    "stuck_at": ["faulted accuracy", "Upsets made"],
    "asymmetric": ["faulted accuracy", "Upsets made"],
    "mbu": ["faulted accuracy", "Upsets made"],
    "exact_count": ["accuracy drop per upset:", "critical in"],
    "targets": ["conv1.quan_w_fn.s", "fc.bias", "layer1.0.conv1.activations", "running_var"],
    "fault_list": ["faulted run (4 listed upsets", "Upsets made at 4 listed upsets"],
    "rate": ["at BER 0.00103573"],  # 1e-10 * 10 * 12 * 86400 = 1.0368e-3
    "mission": ["mission of 60 d, scrubbed every 4 d", "availability (drop at most 2)"],
    "protection": ["protection adds", "report: results/protection"],
    "sensitivity": ["report: results/sensitivity"],
    "fault_aware_training": ["epoch 0:", "(BER 0.001, seed 1)", "(BER 0.01, seed 1)"],
    "fault_aware_evaluation": ["report: results/fault_aware"],
    "plain_evaluation": ["report: results/plain"],
}


def share(name):
    """Marks a test that looks at what a configuration made: one process runs it once."""
    return pytest.mark.xdist_group("training" if name in TRAINING else name)


@pytest.fixture(scope="session")
def ran(demo):
    """Runs a configuration once; its output."""
    done = {}

    def _ran(name):
        if name not in done:
            if name == "fault_aware_evaluation":
                _ran("fault_aware_training")
            done[name] = demo.hooked(CONFIGS / f"{name}.yaml").stdout
        return done[name]

    return _ran


def results(demo, name):
    return demo.folder.parent / "results" / name


def test_every_example_is_here():
    assert sorted(SHOWS) == sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=share(name)) for name in SHOWS])
def test_an_example_shows_what_it_says(ran, name):
    output = ran(name)
    assert [line for line in SHOWS[name] if line not in output] == []


@share("mission")
def test_a_mission_has_its_picture_and_its_numbers(demo, ran):
    ran("mission")
    folder = results(demo, "mission")
    (mission,) = json.loads((folder / "summary.json").read_text())["missions"]
    assert mission["scrubs"] == 14 and 0 < mission["availability"]["mean"] <= 1
    assert (folder / "mission.png").stat().st_size > 10_000
    assert "Mission" in (folder / "report.html").read_text()


@share("protection")
def test_protected_memory_is_read_with_fewer_wrong_bits(demo, ran):
    ran("protection")
    summary = json.loads((results(demo, "protection") / "summary.json").read_text())
    for row in summary["bers"]:
        left = row["chance"] * row["residual"] / summary["bits"]
        assert 0.0 < left < row["ber"] / 3


@share("exact_count")
def test_single_upsets_are_one_in_each_trial(demo, ran):
    ran("exact_count")
    rows = [json.loads(line) for line in (results(demo, "exact_count") / "trials.jsonl").open()]
    assert len(rows) == 201 and {row["upsets"] for row in rows if row["id"] != "golden"} == {1}


@share("plain_evaluation")
def test_two_trainings_are_compared_over_the_same_fault_maps(demo, ran):
    """Which of the two is better is not asserted: another machine trains other weights."""
    ran("plain_evaluation"), ran("fault_aware_evaluation")
    rows, differ = compared(results(demo, "plain"), results(demo, "fault_aware"))
    assert [(row.ber, row.trials) for row in rows] == [(0.0, 1), (3e-3, 20), (1e-2, 20)]
    assert differ == [] and rows[0].first != rows[-1].first
    trained = [demo.folder / "output" / f"{name}_checkpoint.pth.tar" for name in NETWORKS]
    assert trained[0].read_bytes() != trained[1].read_bytes()


def threshold(demo, name, **section):
    """The BER of a 2-point drop, with its interval."""
    folder = results(demo, name)
    widths = {"path": "search/resnet18_digits_bit_width_config.json"}
    campaign = {"ber": [1e-3, 3e-3, 1e-2], "trials": 20, "max_drop": 2, "output": str(folder)}
    section = {"seed": 42, "bit_width_config": widths, "campaign": campaign, **section}
    demo.hooked(demo.yaml(name, section))
    return json.loads((folder / "summary.json").read_text())["thresholds"][0]


def test_secded_moves_the_threshold_as_predicted(demo):
    """The threshold under SECDED is the BER whose residual rate, in closed form, is the threshold
    without it."""
    code = SECDED["secded_39_32"]
    plain = threshold(demo, "th_plain")
    rule = {"scheme": "secded_39_32", "on_detected": "keep"}
    guarded = threshold(demo, "th_secded", protection=rule)

    def before_decoding(ber):
        return brentq(lambda p: residual(code, p, "keep").ber - ber, 1e-6, 0.1)

    assert guarded["low"] > plain["ber"]
    assert guarded["low"] <= before_decoding(plain["ber"]) <= guarded["high"]


@share("sensitivity")
def test_a_plan_is_made_and_verified(demo, ran):
    ran("sensitivity")
    folder = results(demo, "sensitivity")
    arguments = ["--ber", "1e-2", "--max-drop", "8", "--scheme", "secded_39_32", "--trials", "12"]
    done = demo.call("-m", "seu_plugin", "protect", "-y", folder, *arguments, check=False)
    assert "Cheapest protection" in done.stdout and "scheme: secded_39_32" in done.stdout, done
    assert "measured drop" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0 and ": the target of 8 holds" in done.stdout
    plans = sorted((folder / "protected").iterdir())
    rows = [json.loads(line) for line in (plans[-1] / "trials.jsonl").open()]
    assert len(rows) == 13
    manifest = json.loads((plans[-1] / "manifest.json").read_text())
    assert manifest["identity"]["section"]["protection"]


def test_examples_are_valid_without_a_host():
    import yaml

    for path in CONFIGS.glob("*.yaml"):
        parse_section(yaml.safe_load(path.read_text())[SECTION])
