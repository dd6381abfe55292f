"""A copy of the demo host with a checkpoint, which is trained once for all tests that need it."""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "examples" / "demo_host"
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


def pytest_collection_modifyitems(items):
    """Every test here starts processes that import torch and the host."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


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


def maker():
    """Hash of what makes the checkpoint: the host's files, the libraries, and the machine."""
    libraries = [f"{name} {metadata.version(name)}" for name in ("torch", "numpy", "scikit-learn")]
    about = (*libraries, platform.python_version(), platform.machine())
    found = hashlib.sha256(" ".join(about).encode())
    for path in sorted(SOURCE.rglob("*")):
        inside = path.relative_to(SOURCE)
        if path.is_file() and not {"output", "__pycache__"} & set(inside.parts):
            found.update(str(inside).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def copy_host(folder):
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("output", "__pycache__"))


@contextmanager
def locked(path):
    """Alone among the processes of a test run."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def trained(pytestconfig):
    """Folder with the checkpoint and what the host printed when it made it."""
    kept = pytestconfig.cache.mkdir("demo_host")
    folder = kept / maker()
    with locked(kept / "lock"):
        if not folder.is_dir():
            work = kept / "new"
            shutil.rmtree(work, ignore_errors=True)
            copy_host(work)
            host = Demo(work)
            (work / "training.txt").write_text(host.plain(host.eval).stdout)
            work.rename(folder)
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory, trained):
    folder = tmp_path_factory.mktemp("demo") / "demo_host"
    copy_host(folder)
    shutil.copytree(trained / "output", folder / "output")
    host = Demo(folder)
    host.training_output = (trained / "training.txt").read_text()
    host.golden = host.plain(host.eval)
    return host
