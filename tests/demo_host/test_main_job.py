"""The main job on the demo host, in processes of its own: section in, faulted accuracy out."""

import ast
import re

import pytest

from seu_plugin.injection.statistics import tail_probability

WIDTHS = "search/resnet18_digits_bit_width_config.json"


def accuracies(done):
    """The list that the host prints last."""
    return ast.literal_eval(done.stdout.splitlines()[-1])


def table(done):
    """Rows of the table: site -> (width, words, bits, upsets)."""
    rows = {}
    for line in done.stdout.splitlines():
        cells = [c.strip().replace(",", "") for c in line.split("│")[1:-1]]
        if len(cells) == 7 and cells[1].isdigit():
            rows[cells[0]] = tuple(int(c) for c in cells[1:5])
    return rows


def test_it_trains_to_95_percent(demo):
    top1 = re.search(r"Arch 0: .* top-1 ([\d.]+) %", demo.training_output)
    assert float(top1.group(1)) >= 95.0


def test_evaluation_is_reproducible_and_keeps_the_checkpoint(demo):
    one, two = demo.plain(demo.eval), demo.golden
    assert one.stdout == two.stdout
    assert one.stdout == "".join(demo.training_output.splitlines(True)[-2:])


def test_without_the_section_the_output_is_identical(demo):
    assert demo.hooked(demo.eval).stdout == demo.golden.stdout


def test_with_the_section_off_the_output_is_identical(demo):
    config = demo.yaml("off", {"enabled": False, "ber": 1e-2})
    assert demo.hooked(config).stdout == demo.golden.stdout


def test_without_the_section_no_torch_part_is_imported(demo):
    script = demo.folder / "probe.py"
    script.write_text(
        "import runpy, sys\n"
        f"runpy.run_path({str(demo.main)!r}, run_name='__main__')\n"
        "ours = sorted(m for m in sys.modules if m.startswith('seu_plugin'))\n"
        "light = {'_version', 'errors', 'plugin', 'settings', 'settings.place'}\n"
        "assert set(ours) == {'seu_plugin', *(f'seu_plugin.{m}' for m in light)}, ours\n"
    )
    demo.call("-m", "rfquant_hooks", script, demo.eval)


@pytest.mark.parametrize("golden_run", [True, False])
def test_ber_zero_is_bit_identical(demo, golden_run):
    config = demo.yaml("zero", {"ber": 0, "golden_run": golden_run})
    assert accuracies(demo.hooked(config)) == accuracies(demo.golden)


def test_upsets_agree_with_the_ber_and_accuracy_drops(demo):
    done = demo.hooked(demo.folder / "configs" / "eval_digits_seu.yaml")
    golden = accuracies(demo.golden)
    rows = table(done)
    assert len(rows) == 21
    for _, words, bits, upsets in rows.values():
        assert bits in (words * w for w in range(2, 9))
        assert tail_probability(upsets, bits, 1e-2) > 1e-6
    assert f"golden accuracy:  {golden[0]:.2f} %" in done.stdout
    assert accuracies(done)[0] < golden[0] - 1.0


def test_the_same_seed_gives_the_same_run(demo):
    config = demo.folder / "configs" / "eval_digits_seu.yaml"
    assert demo.hooked(config).stdout == demo.hooked(config).stdout


def test_validate_evaluates_exactly_the_widths_of_the_file(demo):
    widths = [3, 3, 3, 3, 3, 3, 4, 3, 3, 3, 3, 3, 2, 3, 3, 3, 3, 2, 3]
    config = demo.yaml("second", {"ber": 1e-3, "bit_width_config": {"path": WIDTHS, "index": 1}})
    rows = table(demo.hooked(config))
    assert [row[0] for row in rows.values()] == [8, *widths, 8]


def test_only_the_chosen_layers_are_exposed(demo):
    config = demo.yaml("some", {"ber": 1e-2, "layers": {"include": ["layer4.*", "fc"]}})
    assert all(name.startswith(("layer4.", "fc")) for name in table(demo.hooked(config)))


def test_calibration_under_faults_hides_damage(demo):
    results = {}
    for calibration in ("clean", "faulty"):
        section = {"ber": 3e-2, "seed": 1, "bn_calibration": calibration, "golden_run": False}
        results[calibration] = accuracies(demo.hooked(demo.yaml(calibration, section)))[0]
    assert results["faulty"] > results["clean"] + 5.0


def wrong_number(configuration):
    configuration["weight_bits"].pop()
    configuration["act_bits"].pop()


def wrong_width(configuration):
    configuration["weight_bits"][3] = 7


@pytest.mark.parametrize(
    "case,message",
    [
        ("no such file", r"BIT_WIDTHS: .*gone\.json: cannot read"),
        (
            "18 entries",
            r"BIT_WIDTHS: .*weight_bits has 18 entries, but the model has 19",
        ),
        (
            "width 7",
            r"BIT_WIDTHS: .*weight_bits\[3\] is 7, which 'layer1\.1\.conv2' does",
        ),
        (
            "ber: 2",
            r"LINE_3: fault_injection\.ber: must be a number in \[0, 1\]; received 2",
        ),
        (
            "bers: 1e-3",
            r"LINE_3: fault_injection\.bers: unknown key; .*did you mean 'ber'",
        ),
        ("no site", r"fault_injection\.layers\.include: pattern 'cnv1' matches no site"),
        ("no device", r"fault_injection\.device: cannot be used here; received 'tpu9'"),
    ],
)
def test_mistakes_end_before_the_first_forward_with_one_line(demo, case, message):
    good = {"ber": 1e-3}
    section = {
        "no such file": lambda: {**good, "bit_width_config": {"path": "gone.json"}},
        "18 entries": lambda: {
            **good,
            "bit_width_config": {"path": str(demo.widths("short", wrong_number))},
        },
        "width 7": lambda: {
            **good,
            "bit_width_config": {"path": str(demo.widths("seven", wrong_width))},
        },
        "ber: 2": lambda: {"ber": 2},
        "bers: 1e-3": lambda: {"bers": 1e-3},
        "no site": lambda: {**good, "layers": {"include": ["cnv1"]}},
        "no device": lambda: {**good, "device": "tpu9"},
    }[case]()
    message = message.replace("BIT_WIDTHS", r"fault_injection\.bit_width_config")
    message = message.replace("LINE_3", r"\S*bad\.yaml, line 3")
    done = demo.traced(demo.yaml("bad", section))
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and re.match("error: " + message, lines[0]), done.stderr


def test_the_trace_of_forwards_works(demo):
    assert "FORWARD" in demo.traced(demo.eval).stderr


def test_a_misspelled_section_is_an_error(demo):
    done = demo.traced(demo.yaml("misspelled", fault_injecton={"ber": 1e-3}))
    assert (done.returncode, "FORWARD" in done.stderr) == (2, False)
    assert "did you mean 'fault_injection'" in done.stderr


def test_fault_aware_training(demo):
    section = {"ber": 1e-3, "seed": 3, "enable_in_training": True, "enable_in_inference": False}
    config = demo.yaml("fat", section, eval=False, epochs=1, name="fat", quantization_error_from=0)
    done = demo.hooked(config)
    line = re.search(r"epoch 0: ([\d,]+) upsets in ([\d,]+) bits exposed", done.stdout)
    upsets, bits = (int(g.replace(",", "")) for g in line.groups())
    assert tail_probability(upsets, bits, 1e-3) > 1e-6
    assert (demo.folder / "output" / "fat_checkpoint.pth.tar").exists()


def test_a_run_that_never_injects_is_an_error(demo):
    config = demo.yaml("never", {"ber": 1e-3}, eval=False, epochs=1, name="never")
    done = demo.hooked(config, check=False)
    assert done.returncode == 2
    assert "the run ended without an injection: the host ran train" in done.stderr


def test_two_lines_in_main_do_the_same(demo):
    script = demo.folder / "main_with_hooks.py"
    source = demo.main.read_text()
    script.write_text("import rfquant_hooks\nrfquant_hooks.instrument()\n" + source)
    config = demo.folder / "configs" / "eval_digits_seu.yaml"
    assert demo.call(script, config).stdout == demo.hooked(config).stdout


def test_two_processes_evaluate_the_same_faults(demo):
    config = demo.yaml("ddp", {"ber": 1e-2, "seed": 42})
    rows = []
    for n in (1, 2):
        port = ("--master_port", 29511 + n)
        ranks = ("-m", "torch.distributed.run", "--nproc_per_node", n, *port)
        done = demo.call(*ranks, "-m", "rfquant_hooks", demo.main, config)
        rows.append(table(done))
    assert len(rows[0]) == 21 and rows[0] == rows[1]
