"""Wheel, sdist and editable install hold what they should and work."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PROBE = """
import sys
import rfquant_hooks
assert not {"torch", "pydantic", "seu_plugin"} & set(sys.modules)
import seu_plugin
assert "torch" not in sys.modules
from importlib.metadata import entry_points
found = entry_points()
group = found.select(group="rfquant") if hasattr(found, "select") else found["rfquant"]
assert [(e.name, e.value) for e in set(group)] == [("seu", "seu_plugin.plugin")], group
from importlib.metadata import version
assert version("seu-plugin") == seu_plugin.__version__
print(seu_plugin.__file__, rfquant_hooks.__file__)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the tree, so that building leaves nothing in it."""
    copy = tmp_path_factory.mktemp("source") / "seu-plugin"
    ignored = shutil.ignore_patterns(
        ".git", ".tox", ".venv", "output", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"
    )
    shutil.copytree(ROOT, copy, ignore=ignored)
    return copy


@pytest.fixture(scope="module")
def built(source):
    command = [sys.executable, "-m", "build", "--outdir", str(source / "dist"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return source / "dist"


def test_wheel_holds_both_packages_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0].split("-")[0] for n in names} == {"rfquant_hooks", "seu_plugin"}
    packages = (ROOT / "hooks" / "rfquant_hooks", ROOT / "src" / "seu_plugin")
    ours = [
        (p, f) for p in packages for f in p.rglob("*") if f.suffix in (".py", ".typed", ".html")
    ]
    assert {str(file.relative_to(package.parent)) for package, file in ours} <= set(names)
    assert any(n.endswith("LICENSE") for n in names)


def test_sdist_holds_what_a_build_needs(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    assert {"setup.cfg", "pyproject.toml", "LICENSE", "README.md"} <= names


@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_install_works(kind, built, source, tmp_path):
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    (packages,) = (environment / "lib").glob("python*/site-packages")
    target = {"wheel": "*.whl", "sdist": "*.tar.gz"}.get(kind)
    what = [str(next(built.glob(target)))] if target else ["-e", str(source)]
    subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", *what], check=True)
    # The dependencies of this environment, without its own install of what is tested. Not
    # before: pip would take what is installed here for installed there.
    dependencies = tmp_path / "dependencies"
    dependencies.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("seu_plugin", "rfquant_hooks", "__editable__")):
            (dependencies / entry.name).symlink_to(entry)
    (packages / "zz_dependencies.pth").write_text(f"{dependencies}\n")
    done = subprocess.run([str(python), "-c", PROBE], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    where = source if kind == "editable" else environment
    assert all(str(where) in file for file in done.stdout.split())
    for script in ("seu", "rfquant-run"):
        subprocess.run(
            [str(environment / "bin" / script), "--help"], check=True, stdout=subprocess.DEVNULL
        )
