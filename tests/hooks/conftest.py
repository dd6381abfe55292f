"""A host in miniature, without torch, and the means to run it in this process or another."""

import importlib
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from rfquant_hooks import uninstrument

HOST = {
    "main.py": """
        import sys
        from types import SimpleNamespace

        from process import train, validate
        from quan.utils import replace_module_by_names
        from util import get_config


        def main():
            config = get_config()
            model = replace_module_by_names(SimpleNamespace(seen=[]), {}, {})
            train([1], model, config)
            print("top1", validate([1, 2], model, config, train_loader=[3]))


        if __name__ == "__main__":
            main()
    """,
    "process.py": """
        from util.utils import calibrate_batchnorm_state


        def train(train_loader, model, configs, epoch=0):
            return "trained"


        def validate(
            data_loader, model, configs, alpha=1, train_loader=None, eval_predefined_arch=None
        ):
            if train_loader is not None:
                calibrate_batchnorm_state(model, train_loader)
            model.seen.append(eval_predefined_arch)
            return [70, 60.5]
    """,
    "util/__init__.py": "from .config import get_config\n",
    "util/config.py": """
        from types import SimpleNamespace


        def get_config():
            return SimpleNamespace(search=False)
    """,
    "util/utils.py": """
        def calibrate_batchnorm_state(model, loader, reset=True):
            model.calibrated = list(loader)
    """,
    "quan/__init__.py": "",
    "quan/utils.py": """
        def replace_module_by_names(model, modules_to_replace, quantized_module_mapping):
            model.quantized = True
            return model
    """,
}
GENERIC_NAMES = {"process", "util", "quan", "extra", "policy"}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


def loaded_host_modules():
    return [name for name in sys.modules if name.partition(".")[0] in GENERIC_NAMES]


class Host:
    """The host's folder, and ways to run its scripts in a process of their own."""

    def __init__(self, folder, plugins):
        self.folder = folder
        self.plugins = plugins

    def write(self, name, text):
        write(self.folder / name, text)

    def append(self, name, text):
        path = self.folder / name
        path.write_text(path.read_text(encoding="utf-8") + textwrap.dedent(text), "utf-8")

    def install(self, text, name="probe", entries=None):
        """Install a plugin for the processes of this host: a module and its entry point, or
        others."""
        write(self.plugins / f"{name}.py", text)
        info = self.plugins / f"{name}-1.0.dist-info"
        write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        write(info / "entry_points.txt", entries or f"[rfquant]\n{name} = {name}\n")

    def _run(self, command, cwd, **variables):
        path = filter(None, [str(self.plugins), os.environ.get("PYTHONPATH")])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), **variables}
        return subprocess.run(
            command,
            cwd=str(cwd or self.folder),
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    def python(self, *arguments, cwd=None, **variables):
        return self._run([sys.executable, *arguments], cwd, **variables)

    def rfquant_run(self, *arguments, cwd=None, **variables):
        script = Path(sysconfig.get_path("scripts")) / "rfquant-run"
        return self._run([str(script), *arguments], cwd, **variables)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """The host on disk; nothing of it is importable here."""
    monkeypatch.delenv("RFQUANT_BLOCK_PLUGINS", raising=False)
    folder = tmp_path / "host"
    for name, text in HOST.items():
        write(folder / name, text)
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    return Host(folder, plugins)


@pytest.fixture
def imported(host):
    """The host, importable in this process until the test ends."""
    uninstrument()
    kept = {name: sys.modules.pop(name) for name in loaded_host_modules()}
    path = list(sys.path)
    sys.path.insert(0, str(host.folder))
    importlib.invalidate_caches()
    yield host
    uninstrument()
    for name in loaded_host_modules():
        del sys.modules[name]
    sys.path[:] = path
    sys.modules.update(kept)
