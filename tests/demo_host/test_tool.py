"""tools/test_fault_injector.py on the demo host."""

import re
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "test_fault_injector.py"
WIDTHS = "search/resnet18_digits_bit_width_config.json"


def tool(demo, *arguments, check=True):
    widths = ["--bit_width_config", demo.folder / WIDTHS]
    command = ["--config", demo.eval, "--host", demo.folder, *widths, *arguments]
    return demo.call(TOOL, *command, check=check)


def verdicts(done):
    found = re.findall(r"│ ([a-z ]+?) +│ (yes|NO) +│", done.stdout)
    return {name: holds == "yes" for name, holds in found}


def test_every_verdict_holds(demo):
    done = tool(demo, "--ber", "1e-3", "--enable_in_inference", "--enable_in_training")
    names = ("injected", "restored exactly", "reproducible", "training step")
    assert verdicts(done) == dict.fromkeys(names, True)
    assert "layer1.0.conv1" in done.stdout


def test_without_the_option_the_sections_widths_are_tested(demo):
    with_option = tool(demo, "--ber", "1e-3").stdout
    command = ["--config", demo.folder / "configs" / "eval_digits_seu.yaml", "--host", demo.folder]
    done = demo.call(TOOL, *command, "--ber", "1e-3")
    assert f"bit widths: {demo.folder / WIDTHS}" in done.stdout
    table = [line for line in with_option.splitlines() if line.startswith("│ layer")]
    assert table and all(line in done.stdout for line in table)


def test_inference_is_tested_if_nothing_is_asked_for(demo):
    assert "injected" in verdicts(tool(demo, "--ber", "1e-3", "--seed", "7"))


def test_the_tool_works_from_the_hosts_folder_on_the_hosts_yaml(demo):
    done = demo.call(
        "-c",
        f"import os, runpy, sys; os.chdir({str(demo.folder)!r}); "
        f"sys.argv = ['tool', '--config', 'configs/eval_digits_seu.yaml', "
        f"'--bit_width_config', {WIDTHS!r}]; "
        f"runpy.run_path({str(TOOL)!r}, run_name='__main__')",
    )
    assert all(verdicts(done).values())


def test_no_upset_is_a_failed_verdict(demo):
    done = tool(demo, "--ber", "1e-12", check=False)
    assert done.returncode == 1
    assert verdicts(done) == {"injected": False, "restored exactly": True, "reproducible": True}
    assert "raise --ber" in done.stdout


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--ber", "2"], "ber"),
        (["--config", "missing.yaml"], "missing.yaml: no such file"),
        (["--checkpoint", "missing.pth"], "missing.pth: no such file"),
        (["--bit_width_config", "missing.json"], "cannot read the bit-width file"),
    ],
)
def test_mistakes_are_one_line(demo, arguments, message):
    done = tool(demo, *arguments, check=False)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
