"""A copy of the demo host, trained once for all tests."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SOURCE = Path(__file__).resolve().parents[2] / "examples" / "demo_host"
WIDTHS = "search/resnet18_digits_bit_width_config.json"

# Runs a host script under rfquant-run and says on stderr when a module is first called.
TRACED = """
import sys, torch
call = torch.nn.Module.__call__
def traced(self, *args, **kwargs):
    torch.nn.Module.__call__ = call
    print("FORWARD", file=sys.stderr)
    return call(self, *args, **kwargs)
torch.nn.Module.__call__ = traced
from rfquant_hooks.launcher import main
sys.exit(main(sys.argv[1:]))
"""


class Demo:
    def __init__(self, folder):
        self.folder = folder
        self.main = folder / "main.py"
        self.eval = folder / "configs" / "eval_digits.yaml"

    def call(self, *command, check=True, env=None):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            capture_output=True,
            text=True,
            cwd=self.folder.parent,
            env={**os.environ, **(env or {})},
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def plain(self, *args, **kwargs):
        return self.call(self.main, *args, **kwargs)

    def hooked(self, *args, **kwargs):
        return self.call("-m", "rfquant_hooks", self.main, *args, **kwargs)

    def traced(self, *args, **kwargs):
        return self.call("-c", TRACED, self.main, *args, check=False, **kwargs)

    def yaml(self, stem, section=None, **settings):
        """Write a configuration; ``section`` is the fault_injection section."""
        path = self.folder.parent / f"{stem}.yaml"
        content = {"eval": True, **settings}
        if section is not None:
            content["fault_injection"] = section
        path.write_text(yaml.safe_dump(content))
        return path

    def widths(self, name, change):
        """Write a bit-width file with its first configuration changed."""
        data = json.loads((self.folder / WIDTHS).read_text())
        change(data["configurations"][0])
        path = self.folder.parent / f"{name}.json"
        path.write_text(json.dumps(data))
        return path


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "demo_host"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("output", "__pycache__"))
    host = Demo(folder)
    host.training_output = host.plain(host.eval).stdout
    host.golden = host.plain(host.eval)
    return host
