"""The examples are run as their READMEs say, with few trials."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seu_plugin.analysis.folders import summary_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FEW = [
    "--set",
    "campaign.trials=2",
    "--set",
    "campaign.threshold=grid",
    "--set",
    "campaign.ber=[1e-2]",
]
NETWORKS = ("int8", "int4", "int3", "float32")


def commands(readme):
    """The lines of its blocks, but for the one that installs."""
    lines = "".join(re.findall(r"^```bash\n(.*?)^```$", readme, re.M | re.S)).splitlines()
    assert lines[0].startswith("python3 -m venv .venv && .venv/bin/pip install")
    return [line.split() for line in lines[1:]]


def in_this_environment(words):
    program, *arguments = words
    if program == ".venv/bin/python":
        return [sys.executable, *arguments]
    assert program == ".venv/bin/seu"
    few = FEW if arguments[0] == "run" else []
    return [sys.executable, "-m", "seu_plugin", *arguments, *few]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch_ao_digits", "brevitas_digits"])
def test_an_example_is_run_as_its_readme_says(tmp_path, name):
    if name.startswith("brevitas") and importlib.util.find_spec("brevitas") is None:
        pytest.skip("brevitas is not installed")
    folder = tmp_path / name
    shutil.copytree(
        EXAMPLES / name, folder, ignore=shutil.ignore_patterns("checkpoints", "results")
    )
    for words in commands((folder / "README.md").read_text()):
        done = subprocess.run(
            in_this_environment(words), cwd=folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "float32-int8.png").exists()
    summaries = {net: summary_of([folder / "results" / net]) for net in NETWORKS}
    assert all(summary.golden[0] > 90.0 for summary in summaries.values())
    # One flipped exponent is worse than all that a code of 8 bits can do.
    assert summaries["float32"].bers[0].mean < summaries["int8"].bers[0].mean - 20.0
    bits = {net: summary.bits for net, summary in summaries.items()}
    assert bits["float32"] == 4 * bits["int8"] == 8 * bits["int4"]
    assert 3 * bits["int4"] == 4 * bits["int3"]
