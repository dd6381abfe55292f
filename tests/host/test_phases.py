"""Every mode of the published host, through its unmodified main.py."""

import ast
import json
import re
import subprocess

import pytest

from seu_plugin.analysis.rows import read_rows
from seu_plugin.analysis.trials import same


def accuracy(output, name):
    (value,) = re.findall(rf"{name} accuracy: +([\d.]+) %", output)
    return float(value)


def test_it_trains_under_faults(trained):
    epochs = re.findall(r"epoch (\d+): ([\d,]+) upsets in ([\d,]+) bits", trained.training_output)
    assert [int(epoch) for epoch, _, _ in epochs] == list(range(41))
    upsets, bits = (sum(int(row[i].replace(",", "")) for row in epochs) for i in (1, 2))
    assert abs(upsets - bits * 1e-3) < 5 * (bits * 1e-3) ** 0.5
    assert trained.checkpoint.exists()


def test_evaluation_quotes_golden_and_faulted_accuracy(trained):
    output = trained.evaluate("plain", {"ber": 1e-2})
    assert accuracy(output, "golden") >= 80.0
    assert accuracy(output, "golden") > accuracy(output, "faulted")
    assert "quoted with BatchNorm calibrated with clean weights" in output


def test_ber_zero_costs_nothing(trained):
    output = trained.evaluate("zero", {"ber": 0})
    assert accuracy(output, "golden") == accuracy(output, "faulted")


def test_each_quantizer_saw_the_widths_and_upsets_it_was_to_see(trained):
    record = trained.folder / "record.jsonl"
    trained.evaluate("record", {"ber": 1e-2, "golden_run": False}, "--record", record)
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    in_layer = [line for line in lines if line["in_layer"]]
    assert len({line["name"] for line in in_layer}) == 21
    wanted = json.loads(trained.widths.read_text())["configurations"][0]["weight_bits"]
    dynamic = {}
    for line in in_layer:
        name = line["name"]
        if name not in ("conv1", "fc"):
            dynamic.setdefault(name, line["width"])
        assert line["width"] == (8 if name in ("conv1", "fc") else dynamic[name])
    assert list(dynamic.values()) == wanted
    unseen = [line for line in lines if line["calibrating"] or not line["in_layer"]]
    assert any(line["calibrating"] for line in unseen)
    assert all(line["upsets"] == 0 for line in unseen)
    seen = [line for line in in_layer if not line["calibrating"]]
    forward = seen[:21]
    upsets, bits = sum(s["upsets"] for s in forward), sum(s["bits"] for s in forward)
    assert abs(upsets - bits * 1e-2) < 4 * (bits * 1e-2) ** 0.5
    # One static map: every forward saw the same upsets.
    assert all(line["upsets"] == forward[i % 21]["upsets"] for i, line in enumerate(seen))


@pytest.mark.parametrize(
    "section",
    [
        {"mode": "stuck_at", "ber": 1e-2},
        {"mode": "asymmetric", "ber": 1e-2, "asymmetric": {"zero_to_one": 0.1}},
        {"mode": "mbu", "ber": 1e-2, "mbu": {"sizes": {1: 0.5, 2: 0.5}}},
        {"mode": "exact_count", "upsets": 500},
        {"ber": 1e-2, "protection": {"scheme": "secded_72_64"}},
        {"ber": 1e-3, "targets": ["activations", "step_sizes", "batch_norm", "biases"]},
        {"rate": {"upsets_per_bit_day": 1e-3, "exposure": "10 d"}},
    ],
    ids=lambda section: section.get("mode") or ", ".join(section),
)
def test_other_fault_models_targets_and_protection(trained, section):
    output = trained.evaluate("models", section)
    assert accuracy(output, "golden") > 70.0
    assert 0.0 <= accuracy(output, "faulted") <= 100.0


def test_calibration_under_faults_hides_damage(trained):
    output = trained.evaluate("both", {"ber": 3e-2, "bn_calibration": "both"})
    hidden = re.search(r"calibrated under the same upsets: ([\d.]+) %, ([+-][\d.]+)", output)
    assert float(hidden.group(2)) > 5.0
    assert float(hidden.group(1)) > accuracy(output, "faulted")


def test_two_processes_see_the_same_upsets(trained):
    def upsets(output):
        return re.findall(r"│ all .*", output)

    one = trained.evaluate("one", {"ber": 1e-2})
    two = trained.evaluate("two", {"ber": 1e-2}, processes=2)
    assert len(upsets(one)) == 1
    assert upsets(one) == upsets(two)  # and rank 1 prints nothing


def test_a_drawn_seed_is_the_same_on_two_processes(trained):
    output = trained.evaluate("drawn", {"ber": 1e-2, "seed": None}, processes=2)
    assert len(set(re.findall(r"seed (\d+)", output))) == 1


@pytest.mark.parametrize("processes,workers", [(1, 1), (2, 1), (1, 2)])
def test_a_campaign(trained, processes, workers):
    folder = trained.folder / f"campaign-{processes}-{workers}"
    plan = {"ber": [1e-6, 1e-2], "trials": 3, "threshold": "grid", "output": str(folder)}
    plan.update(workers=workers, threads=1)
    stem = f"campaign{processes}{workers}"
    output = trained.evaluate(stem, {"campaign": plan}, processes=processes)
    rows = {r.trial.id: r for r in read_rows(folder / "trials.jsonl")[0]}
    assert len(rows) == 1 + 6
    single = trained.evaluate(f"{stem}-single", {"ber": 1e-2, "trial": 2}, processes=processes)
    assert f"{rows['golden'].metrics[0]:.2f}" == f"{accuracy(single, 'golden'):.2f}"
    assert f"{rows['0.01:2'].metrics[0]:.2f}" == f"{accuracy(single, 'faulted'):.2f}"
    assert "report.html" in output and (folder / "report.html").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_reuse_changes_no_row_of_a_campaign(trained, workers):
    def results(reuse):
        folder = trained.folder / f"reuse-{workers}-{reuse}"
        plan = {"ber": [1e-5, 1e-3], "trials": 3, "threshold": "grid", "output": str(folder)}
        plan.update(sensitivity={"by": "layer", "trials": 2}, workers=workers, threads=1)
        stem = f"reuse{workers}{reuse}"
        output = trained.evaluate(stem, {"campaign": {**plan, "reuse": reuse}})
        rows = {row.trial.id: row for row in read_rows(folder / "trials.jsonl")[0]}
        assert len(rows) == 1 + 6 + 2 * 21
        return rows, output

    (some, output), (none, _) = results(True), results(False)
    assert some.keys() == none.keys()
    assert all(same(some[name], none[name]) for name in none)
    if workers == 1:  # workers do not tell how much they reused
        assert re.search(r"[1-9]\d* % of the work of the trials was reused", output)


def search(trained, stem, section):
    config = trained.yaml(
        stem,
        section,
        split_aw_cands=True,
        bops_limits=0.17,
        search=True,
        eval=False,
        resume={"path": str(trained.checkpoint), "lean": False},
        # A step of the search takes a batch, and the host does not begin its loader again.
        dataloader={**trained.data, "batch_size": 8},
    )
    return trained.run("search", config).stdout


def test_search_then_faulted_evaluation(trained):
    output = search(trained, "search", {"ber": 1e-2, "seed": 42})
    assert "search: " not in output
    assert accuracy(output, "golden") > accuracy(output, "faulted")
    (_, weights, _), *_ = ast.literal_eval(output.splitlines()[-1])
    evaluated = [int(width) for width in re.findall(r"│ layer\S+ +│ +(\d) │", output)]
    assert min(weights) < 5
    assert evaluated == weights


def test_fault_aware_search(trained):
    section = {"ber": 1e-2, "enable_in_search": True, "enable_in_inference": False}
    output = search(trained, "fault_aware_search", {"seed": 42, **section})
    ((upsets, bits),) = re.findall(r"search: ([\d,]+) upsets in ([\d,]+) bits", output)
    upsets, expected = int(upsets.replace(",", "")), int(bits.replace(",", "")) * 1e-2
    assert abs(upsets - expected) < 5 * expected**0.5
    assert "golden accuracy" not in output
    (_, weights, _), *_ = ast.literal_eval(output.splitlines()[-1])
    assert len(weights) == 19


def tool(host, *arguments, check=True):
    config = host.yaml("tool", resume={"path": str(host.checkpoint), "lean": False})
    return run_tool(host, config, *arguments, check=check)


def run_tool(host, config, *arguments, check=True):
    where = ("--host", host.checkout, "--cpu", "--config", host.config("eval"), config)
    widths = ("--bit_width_config", host.widths)
    return host.call(host.stand_ins, "--tool", *where, *widths, *arguments, check=check)


def test_the_tool_finds_every_verdict_to_hold(trained):
    output = tool(trained, "--ber", "1e-3", "--enable_in_inference", "--enable_in_training").stdout
    for verdict in ("injected", "restored exactly", "reproducible", "training step"):
        assert re.search(rf"{verdict} +│ yes", output)


def test_the_tool_runs_on_random_input_without_the_data(trained):
    config = trained.yaml("nodata", dataloader={"path": "/nowhere", "num_classes": 10})
    output = run_tool(trained, config, "--image_size", "32").stdout
    assert "no data set" in output
    assert "NO" not in output.split("Verdicts")[1]


@pytest.mark.parametrize(
    "section,message",
    [
        ({"ber": 2}, "ber"),
        ({"ber": 1e-3, "layers": {"include": ["layer9*"]}}, "matches no site"),
    ],
)
def test_mistakes_are_one_line(trained, section, message):
    section["bit_width_config"] = {"path": str(trained.widths)}
    config = trained.yaml("mistake", section)
    done = trained.run("eval", config, check=False)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_checkout_is_left_clean(trained):
    command = ["git", "-C", str(trained.checkout), "status", "--porcelain", "--ignored"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
