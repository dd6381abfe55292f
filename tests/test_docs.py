"""What the documents say is so: their blocks parse and agree."""

import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import seu_plugin
from seu_plugin.commands import cli
from seu_plugin.settings.campaign import CampaignSettings
from seu_plugin.settings.section import FaultInjectionSection, parse_section

ROOT = Path(__file__).resolve().parents[1]
READMES = ("README.md", "README.zh-CN.md")


def blocks(name, language):
    """Code blocks, dedented and without comments."""
    found = []
    pattern = rf"^( *)```{language}\n(.*?)^ *```$"
    for indent, body in re.findall(pattern, (ROOT / name).read_text(), re.M | re.S):
        lines = [line[len(indent) :] for line in body.splitlines()]
        found.append("\n".join(re.sub(r"\s+#.*", "", line) for line in lines))
    return found


@pytest.mark.parametrize("language,number", [("bash", 2), ("yaml", 1), ("python", 3)])
def test_both_readmes_have_the_same_blocks(language, number):
    english, chinese = (blocks(name, language) for name in READMES)
    assert len(english) == number
    assert english == chinese


def test_the_yaml_section_is_complete_and_valid():
    section = yaml.safe_load(blocks("README.md", "yaml")[0])["fault_injection"]
    parse_section(section)
    assert set(FaultInjectionSection.model_fields) == set(section)
    assert set(CampaignSettings.model_fields) == set(section["campaign"])


def test_both_pages_on_the_memory_have_the_same_blocks():
    english, chinese = (
        [blocks(f"docs/{name}", language) for language in ("bash", "console")]
        for name in ("memory.md", "memory.zh-CN.md")
    )
    assert english == chinese and len(english[1]) == 5


def test_both_pages_on_quantizers_have_the_same_blocks():
    english, chinese = (
        [blocks(f"docs/{name}", language) for language in ("python", "ini")]
        for name in ("quantizers.md", "quantizers.zh-CN.md")
    )
    assert english == chinese and [len(some) for some in english] == [3, 1]


def test_both_pages_on_scripts_of_ones_own_have_the_same_blocks():
    english, chinese = (
        [blocks(f"docs/{name}", language) for language in ("python", "yaml", "console")]
        for name in ("own-script.md", "own-script.zh-CN.md")
    )
    assert english == chinese and [len(some) for some in english] == [1, 1, 1]


@pytest.mark.slow
def test_a_script_of_ones_own_is_run_as_the_page_says(tmp_path):
    for file, language in (("mine.py", "python"), ("seu.yaml", "yaml")):
        (tmp_path / file).write_text(blocks("docs/own-script.md", language)[0])
    for line in blocks("docs/own-script.md", "console")[0].splitlines():
        program, *arguments = line[2:].split()
        command = [sys.executable, "-m", "seu_plugin", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (program, done.returncode) == ("seu", 0), done.stdout + done.stderr
    assert (tmp_path / "results" / "mine" / "report.html").exists()


@pytest.mark.parametrize("number", range(3))
def test_worked_examples_of_rates_are_what_the_command_prints(number):
    command, _, printed = blocks("docs/memory.md", "console")[number].partition("\n")
    program, *arguments = command[2:].split()
    result = CliRunner().invoke(cli, arguments)
    assert (program, result.exit_code) == ("seu", 0)
    assert result.output.split("\n") == [*printed.split("\n"), ""]


PAGES = ("CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))


@pytest.mark.parametrize("name", [*READMES, *PAGES])
def test_links_and_pictures_exist(name):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text()):
        assert target.startswith("https://") or (ROOT / name).parent.joinpath(target).exists(), (
            target
        )


def test_the_demo_command_names_files_that_exist():
    command = blocks("README.md", "bash")[0]
    for word in command.split():
        if word.startswith("examples/"):
            assert (ROOT / word).is_file()


def test_the_picture_loads_nothing():
    svg = (ROOT / "docs" / "img" / "demo.svg").read_text()
    assert not re.search(r"url\((?!#)|href=|@import", svg)


def test_the_version_stands_in_one_place_and_has_its_changes():
    assert metadata.version("seu-plugin") == seu_plugin.__version__
    assert "version = attr: seu_plugin._version.__version__" in (ROOT / "setup.cfg").read_text()
    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.M).group(1)
    assert newest == seu_plugin.__version__


def test_the_performance_page_shows_the_results_on_record():
    spec = importlib.util.spec_from_file_location("performance", ROOT / "docs" / "performance.py")
    performance = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(performance)
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert performance.page(text) == text


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/architecture.zh-CN.md"])
def test_the_plan_of_the_house_names_rooms_and_files_that_exist(name):
    package, text = ROOT / "src" / "seu_plugin", (ROOT / name).read_text()
    rooms = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    assert set(re.findall(r"^- \*\*(\w+)/\*\*", text, re.M)) == rooms
    roots = (package, ROOT / "hooks" / "rfquant_hooks", ROOT / "tests", ROOT)
    place = package
    for line in text.splitlines():
        named = re.match(r"- \*\*(\w+)/\*\*", line)
        if named or not line.startswith("  "):  # a paragraph on a room names its own files
            place = package / named[1] if named else package
        for file in re.findall(r"`([\w./]+\.(?:py|md))`", line):
            assert any((root / file).exists() for root in (place, *roots)), f"{name}: {line}"


def test_pre_commit_runs_the_versions_of_the_constraints():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    pinned = set((ROOT / "constraints.txt").read_text().split())
    assert set(re.findall(r"\w+==[\d.]+", hooks)) <= pinned
