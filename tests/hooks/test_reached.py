"""A profile whose functions the host does not run: the run would pass for one with faults."""

import importlib
import sys

import pytest

from rfquant_hooks import RFQUANT, HostProfile, PhaseFunction, PluginError
from rfquant_hooks.importing import refuse_script

PROFILE = """
name: mine
read_config: work:read_config
build_model: work:build
phases:
  - {phase: validate, module: work, function: validate, config: none}
"""
WITHOUT_A_READER = """
name: mine
phases:
  - {phase: validate, module: work, function: validate, config: config}
"""
WORK = """
import sys
def read_config():
    if "--help" in sys.argv:
        print("usage")
        sys.exit(0)
    return {}
def build(config):
    return None
def validate(model, config):
    return 70.0
def main():
    config = read_config()
    print("accuracy", validate(build(config), config))
"""
TWO_LINES = "import rfquant_hooks as hooks\nhooks.instrument(hooks.find_profile('p.yaml'))\n"
NOTHING = "print('accuracy', 70.0)\n"
NONE_RAN = "error: profile 'mine': no plugin was shown a configuration: none of the profile's "
#: How a script calls another process that does the work, and waits for it.
CHILD = """
import multiprocessing, sys, work
if __name__ == "__main__":
    child = multiprocessing.get_context({way!r}).Process(target=work.{function})
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""


@pytest.fixture
def mine(host):
    host.write("work.py", WORK)
    host.write("p.yaml", PROFILE)
    return host


def launched(host, script, *arguments, **variables):
    host.write("run.py", script)
    return host.rfquant_run("--profile", "p.yaml", "run.py", *arguments, **variables)


def by_two_lines(host, script):
    host.write("run.py", TWO_LINES + script)
    return host.python("run.py")


# The script as a module of its profile


@pytest.mark.parametrize("script", ["work.py", "./work.py"])
@pytest.mark.parametrize("name", ["work", "__main__"])
def test_the_script_is_refused_before_it_starts(mine, script, name):
    mine.append("work.py", "print('started')\n")
    mine.write("p.yaml", PROFILE.replace("work", name))
    run = mine.rfquant_run("--profile", "p.yaml", script)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        f"error: profile 'mine': module '{name}' is the script that is run ({script}): move "
        "read_config, build, validate into a module that the script imports\n"
    )


def test_the_script_is_refused_with_two_lines_in_it(mine):
    mine.write("work.py", f"if __name__ == '__main__':\n    {TWO_LINES.splitlines()[0]}\n{WORK}")
    mine.append("work.py", f"if __name__ == '__main__':\n    {TWO_LINES.splitlines()[1]}\n")
    run = mine.python("work.py")
    assert run.returncode == 1
    assert "PluginError: profile 'mine': module 'work' is the script that is run (" in run.stderr


def test_two_lines_may_name_the_running_script(mine):
    mine.write("p.yaml", PROFILE.replace("work", "__main__"))
    mine.write("work.py", WORK + TWO_LINES + "main()\n")
    run = mine.python("work.py")
    assert (run.returncode, run.stdout, run.stderr) == (0, "accuracy 70.0\n", "")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that must not be imported, and a module in it."""
    folder = tmp_path / "breaks_for_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ValueError", encoding="utf-8")
    (folder / "main.py").write_text("raise ValueError", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return folder


def profile(module):
    return HostProfile("mine", (PhaseFunction("validate", module, "validate"),))


def test_a_script_inside_a_package_is_refused_and_nothing_imported(package):
    with pytest.raises(PluginError, match=r"'breaks_for_tests\.main' is the script"):
        refuse_script(profile("breaks_for_tests.main"), str(package / "main.py"))
    assert "breaks_for_tests" not in sys.modules


@pytest.mark.parametrize("name", ["breaks_for_tests.gone", "gone_for_tests.main", "json"])
def test_another_module_is_not_the_script(package, name):
    refuse_script(profile(name), str(package / "main.py"))


def test_the_profile_that_everybody_has_refuses_no_script(imported):
    refuse_script(RFQUANT, str(imported.folder / "process.py"))


# A run that came to none of them


@pytest.mark.parametrize("end", ["", "import sys; sys.exit(0)", "raise SystemExit"])
@pytest.mark.parametrize("way", [launched, by_two_lines])
def test_a_run_that_came_to_none_of_them_is_an_error(mine, way, end):
    run = way(mine, NOTHING + end)
    assert (run.returncode, run.stdout) == (2, "accuracy 70.0\n")
    assert run.stderr == f"{NONE_RAN}functions ran that have it (work:read_config)\n"


def test_without_a_reader_a_phase_has_the_configuration(mine):
    mine.write("p.yaml", WITHOUT_A_READER)
    assert launched(mine, NOTHING).stderr.endswith("(work:validate)\n")


def test_a_phase_is_no_run_without_the_configuration(mine):
    assert launched(mine, "import work\nwork.validate(None, {})\n").stderr.startswith(NONE_RAN)


@pytest.mark.parametrize("text", [PROFILE, WITHOUT_A_READER])
@pytest.mark.parametrize("way", [launched, by_two_lines])
def test_a_run_that_came_to_them_is_none(mine, way, text):
    mine.write("p.yaml", text)
    run = way(mine, "import work\nwork.main()\n")
    assert (run.returncode, run.stdout, run.stderr) == (0, "accuracy 70.0\n", "")


def test_an_exit_of_the_host_with_a_code_says_more(mine):
    run = launched(mine, "import sys; sys.exit(3)")
    assert (run.returncode, run.stderr) == (3, "")


@pytest.mark.parametrize("way", [launched, by_two_lines])
def test_an_exception_of_the_host_says_more(mine, way):
    run = way(mine, "raise ValueError('of the host')")
    assert run.returncode == 1
    assert run.stderr.endswith("ValueError: of the host\n")


def test_an_exit_in_the_reader_is_no_run(mine):
    run = launched(mine, "import work\nwork.main()\n", "--help")
    assert (run.returncode, run.stdout, run.stderr) == (0, "usage\n", "")


@pytest.mark.parametrize(("rank", "code"), [("0", 2), ("1", 0)])
def test_of_several_ranks_the_first_is_held_to_it(mine, rank, code):
    assert launched(mine, NOTHING, RANK=rank).returncode == code


def test_the_profile_that_everybody_has_is_not_held_to_it(mine):
    mine.write("run.py", NOTHING)
    assert mine.rfquant_run("run.py").returncode == 0


needs_forks = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")


@needs_forks
@pytest.mark.parametrize("way", [launched, by_two_lines])
def test_a_process_that_was_forked_may_do_the_work(mine, way):
    run = way(mine, CHILD.format(way="fork", function="main"))
    assert (run.returncode, run.stderr) == (0, "")


@needs_forks
@pytest.mark.parametrize("way", [launched, by_two_lines])
def test_a_process_that_was_forked_owes_nothing_itself(mine, way):
    fork = "import os, work\nif os.fork():\n    os.wait()\n    work.main()\n"
    run = way(mine, fork)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_process_that_was_started_anew_may_do_the_work_with_two_lines(mine):
    run = by_two_lines(mine, CHILD.format(way="spawn", function="main"))
    assert (run.returncode, run.stdout, run.stderr) == (0, "accuracy 70.0\n", "")


def test_a_process_that_was_started_anew_owes_nothing_itself(mine):
    mine.append("work.py", "def nothing(): ...\n")
    script = CHILD.format(way="spawn", function="nothing")
    run = by_two_lines(mine, script.replace("child.join", "work.main(), child.join"))
    assert (run.returncode, run.stderr) == (0, "")


def test_a_process_that_was_started_anew_is_without_hooks_under_the_launcher(mine):
    run = launched(mine, CHILD.format(way="spawn", function="main"))
    assert (run.returncode, run.stdout) == (2, "accuracy 70.0\n")


# Modules of the host that cannot be imported


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('of two\\nlines')", "ValueError: of two lines"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line_before_the_start(mine, text, told):
    mine.write("work.py", text)
    run = launched(mine, NOTHING)
    line = f"error: profile 'mine': read_config: module 'work' cannot be imported: {told}\n"
    assert (run.returncode, run.stdout, run.stderr) == (2, "", line)


def test_an_exit_is_no_success_under_the_profile_that_everybody_has(host):
    host.write("process.py", "raise SystemExit(0)")
    run = host.rfquant_run("main.py")
    line = "error: profile 'rfquant': train: module 'process' cannot be imported: SystemExit: 0\n"
    assert (run.returncode, run.stderr) == (2, line)
