"""Scripts of a host in a process of their own: by the launcher, and by two lines in main."""

import contextlib
import io
import json
import os

import pytest

from rfquant_hooks.launcher import parse

TWO_LINES = "import rfquant_hooks\nrfquant_hooks.instrument()\n"

# Tells on stdout how the run ended for it.
TELLS_THE_END = """
from rfquant_hooks.contract import hookimpl
@hookimpl
def rfquant_run_phase(phase, run):
    print("phase", phase.name)
@hookimpl
def rfquant_unconfigure(error):
    print("end", repr(error))
"""
STRICT = """
from rfquant_hooks.contract import PluginError, hookimpl
@hookimpl
def rfquant_configure(config, manager):
    raise PluginError("wrong section")
"""
UNSATISFIED = """
from rfquant_hooks.contract import PluginError, hookimpl
@hookimpl
def rfquant_unconfigure(error):
    raise PluginError("nothing was done")
"""
CRASHES_AT_THE_END = """
from rfquant_hooks.contract import hookimpl
@hookimpl
def rfquant_unconfigure(error):
    raise OSError("disk full")
"""
SHOW_START = """
import json, sys
print(json.dumps({"argv": sys.argv, "path": sys.path, "name": __name__, "file": __file__}))
"""


def two_lines(host):
    text = (host.folder / "main.py").read_text(encoding="utf-8")
    host.write("main.py", TWO_LINES + text)


def ends(host, text):
    """Let the host's script end its main with ``text``."""
    host.append("main.py", text)


# Without a section


@pytest.mark.parametrize(
    "end",
    ["", "sys.exit(3)", "sys.exit(0)", "sys.exit('message')", "raise ValueError('of the host')"],
)
def test_without_a_section_exit_code_and_stdout_are_those_of_python(host, end):
    ends(host, end)
    plain, run = host.python("main.py"), host.rfquant_run("main.py")
    assert (run.returncode, run.stdout) == (plain.returncode, plain.stdout)


def test_without_a_section_torch_is_not_imported(host):
    ends(host, "print('torch' in sys.modules)")
    assert host.rfquant_run("main.py").stdout.endswith("False\n")


def test_without_a_section_stderr_is_empty(host):
    assert host.rfquant_run("main.py").stderr == ""


# The start of the script


def started(result):
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["config.yaml", "--epochs", "3"],
        ["--help"],
        ["-p", "no:seu"],
        ["a", "--", "b"],
        ["--", "b"],
        ["-1"],
    ],
    ids=" ".join,
)
def test_the_arguments_of_the_script_are_passed_on_as_they_are(host, arguments):
    host.write("main.py", SHOW_START)
    host.write("config.yaml", "")
    assert started(host.rfquant_run("main.py", *arguments))["argv"] == ["main.py", *arguments]


@pytest.mark.parametrize(
    "arguments", [["gone.yaml"], ["there.yaml", "configs/gone.yml"], ["there.yaml", "gone.yaml"]]
)
def test_a_yaml_file_that_is_not_there_is_one_line_before_the_start(host, arguments):
    host.write("main.py", SHOW_START)
    host.write("there.yaml", "")
    run = host.rfquant_run("main.py", *arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"error: {arguments[-1]}: no such file\n"


@pytest.mark.parametrize("arguments", [["--log=new.yaml"], ["--log", "new.yaml"], ["new.txt"]])
def test_a_file_that_the_script_may_write_need_not_be_there(host, arguments):
    host.write("main.py", SHOW_START)
    assert started(host.rfquant_run("main.py", *arguments))["argv"] == ["main.py", *arguments]


def test_a_yaml_file_beside_the_script_is_there(host, tmp_path):
    host.write("main.py", SHOW_START)
    host.write("there.yaml", "")
    script = str(host.folder / "main.py")
    assert host.rfquant_run(script, "there.yaml", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("script", ["host/main.py", "./host/main.py"])
def test_the_script_sees_its_path_as_it_was_given(host, script):
    host.write("main.py", SHOW_START)
    run = host.rfquant_run(script, "a", cwd=host.folder.parent)
    assert started(run)["argv"] == [script, "a"]


def test_the_folder_of_the_script_comes_first_on_the_path(host):
    host.write("main.py", SHOW_START)
    run = host.rfquant_run("host/main.py", cwd=host.folder.parent)
    assert started(run)["path"][0] == str(host.folder.resolve())


@pytest.mark.parametrize("key", ["argv", "path", "name", "file"])
@pytest.mark.parametrize("script", ["main.py", "host/main.py"])
def test_the_script_starts_as_under_python(host, key, script):
    host.write("main.py", SHOW_START)
    cwd = host.folder if script == "main.py" else host.folder.parent
    plain, run = host.python(script, "a", cwd=cwd), host.rfquant_run(script, "a", cwd=cwd)
    assert started(run)[key] == started(plain)[key]


def test_the_launcher_gives_argv_and_path_back(host):
    code = """
import sys
from rfquant_hooks.launcher import main
before = list(sys.argv), list(sys.path)
main(["main.py"])
print((sys.argv, sys.path) == before)
"""
    assert host.python("-c", code).stdout.endswith("True\n")


def test_the_launcher_takes_the_host_out_of_its_hooks(host):
    code = """
import sys
from rfquant_hooks.launcher import main
finders = list(sys.meta_path)
main(["main.py"])
print(sys.meta_path == finders, hasattr(sys.modules["process"].validate, "__wrapped__"))
"""
    assert host.python("-c", code).stdout.endswith("True False\n")


# Plugins under the launcher


def test_the_phases_of_the_script_reach_the_plugin(host):
    host.install(TELLS_THE_END)
    assert host.rfquant_run("main.py").stdout.splitlines() == [
        "phase train",
        "phase validate",
        "phase calibrate",
        "top1 [70, 60.5]",
        "end None",
    ]


def test_the_module_may_be_run(host):
    host.install(TELLS_THE_END)
    plain = host.rfquant_run("main.py")
    assert host.python("-m", "rfquant_hooks", "main.py").stdout == plain.stdout


def test_the_module_hands_on_the_exit_code(host):
    host.install(STRICT)
    assert host.python("-m", "rfquant_hooks", "main.py").returncode == 2


def test_the_first_line_of_the_help_names_the_program(host):
    run = host.rfquant_run("--help")
    assert run.stdout.startswith("usage: rfquant-run ")


def test_the_help_mentions_examples(host):
    assert "examples:\n" in host.rfquant_run("--help").stdout


@pytest.mark.parametrize("plugin", [STRICT, UNSATISFIED], ids=["at the start", "at the end"])
def test_a_mistake_exits_with_2(host, plugin):
    host.install(plugin)
    assert host.rfquant_run("main.py").returncode == 2


@pytest.mark.parametrize(
    "plugin,line",
    [(STRICT, "error: wrong section\n"), (UNSATISFIED, "error: nothing was done\n")],
    ids=["at the start", "at the end"],
)
def test_a_mistake_is_one_line_without_a_traceback(host, plugin, line):
    host.install(plugin)
    assert host.rfquant_run("main.py").stderr == line


def test_a_missing_host_module_is_one_line(host):
    (host.folder / "process.py").unlink()
    run = host.rfquant_run("main.py")
    assert run.stderr.startswith("error: ")
    assert run.stderr.count("\n") == 1


def test_what_the_script_printed_before_a_mistake_is_kept(host):
    host.install(UNSATISFIED)
    assert host.rfquant_run("main.py").stdout == "top1 [70, 60.5]\n"


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_of_the_script_passes_through(host, code):
    host.install(TELLS_THE_END)
    ends(host, f"sys.exit({code})")
    assert host.rfquant_run("main.py").returncode == code


def test_an_exception_of_the_script_exits_with_1(host):
    host.install(TELLS_THE_END)
    ends(host, "raise ValueError('of the host')")
    assert host.rfquant_run("main.py").returncode == 1


def test_an_exception_of_the_script_keeps_its_traceback(host):
    host.install(TELLS_THE_END)
    ends(host, "raise ValueError('of the host')")
    lines = host.rfquant_run("main.py").stderr.splitlines()
    assert lines[0].startswith("Traceback")
    assert any("main.py" in line for line in lines)
    assert lines[-1] == "ValueError: of the host"


@pytest.mark.parametrize("plugin", [UNSATISFIED, CRASHES_AT_THE_END], ids=["mistake", "crash"])
def test_an_exception_of_the_script_is_not_hidden_by_one_of_a_plugin_at_the_end(host, plugin):
    host.install(plugin)
    ends(host, "raise ValueError('of the host')")
    assert "ValueError: of the host" in host.rfquant_run("main.py").stderr


@pytest.mark.parametrize(
    "end,error",
    [
        ("", "None"),
        ("sys.exit()", "None"),
        ("sys.exit(0)", "None"),
        ("sys.exit(3)", "SystemExit(3)"),
        ("raise ValueError('of the host')", "ValueError('of the host')"),
    ],
)
def test_the_plugin_is_told_once_how_the_run_ended(host, end, error):
    host.install(TELLS_THE_END)
    ends(host, end)
    told = [li for li in host.rfquant_run("main.py").stdout.splitlines() if li.startswith("end")]
    assert told == [f"end {error}"]


def test_a_crash_of_a_plugin_at_the_end_is_not_a_success(host):
    host.install(CRASHES_AT_THE_END)
    assert host.rfquant_run("main.py").returncode == 1


# The command line of the launcher


def test_a_plugin_is_switched_off_on_the_command_line(host):
    host.install(STRICT)
    assert host.rfquant_run("-p", "no:probe", "main.py").returncode == 0


def test_the_installed_plugin_is_switched_off_on_the_command_line(host):
    ends(host, "print('seu_plugin.plugin' in sys.modules)")
    assert host.rfquant_run("-p", "no:seu", "main.py").stdout.endswith("False\n")


def test_several_plugins_are_switched_off_on_the_command_line(host):
    host.install(STRICT)
    host.install(UNSATISFIED, name="other")
    run = host.rfquant_run("-p", "no:probe", "-p", "no:other", "main.py")
    assert (run.returncode, run.stderr) == (0, "")


def test_a_plugin_is_switched_off_by_the_environment(host):
    host.install(STRICT)
    assert host.rfquant_run("main.py", RFQUANT_BLOCK_PLUGINS="probe").returncode == 0


def test_switching_off_an_unknown_plugin_is_one_line_with_the_known_ones(host):
    host.install(TELLS_THE_END)
    run = host.rfquant_run("-p", "no:sue", "main.py")
    line = "error: cannot block plugin 'sue': installed plugins are probe, seu\n"
    assert (run.returncode, run.stderr) == (2, line)


def test_a_missing_script_is_a_usage_error(host):
    run = host.rfquant_run("absent.py")
    assert run.returncode == 2
    assert run.stderr.startswith("usage: ")
    assert "script not found: absent.py" in run.stderr


def test_no_script_is_a_usage_error(host):
    run = host.rfquant_run()
    assert (run.returncode, run.stderr[:7]) == (2, "usage: ")


def test_a_switch_without_no_is_a_usage_error(host):
    run = host.rfquant_run("-p", "seu", "main.py")
    assert run.returncode == 2
    assert "expected no:NAME, received 'seu'" in run.stderr


# Two lines in main


def test_two_lines_bring_the_phases_to_the_plugin(host):
    host.install(TELLS_THE_END)
    launched = host.rfquant_run("main.py")
    two_lines(host)
    assert host.python("main.py").stdout == launched.stdout


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError('of the host')"])
def test_two_lines_without_a_section_change_neither_exit_code_nor_stdout(host, end):
    ends(host, end)
    plain = host.python("main.py")
    two_lines(host)
    run = host.python("main.py")
    assert (run.returncode, run.stdout) == (plain.returncode, plain.stdout)


def test_two_lines_under_the_launcher_are_one_instrumentation(host):
    host.install(TELLS_THE_END)
    launched = host.rfquant_run("main.py")
    two_lines(host)
    assert host.rfquant_run("main.py").stdout == launched.stdout


def test_two_lines_exit_with_2_when_the_run_did_not_do_what_it_was_asked_to(host):
    host.install(UNSATISFIED)
    two_lines(host)
    assert host.python("main.py").returncode == 2


def test_two_lines_tell_that_the_run_did_not_do_what_it_was_asked_to(host):
    host.install(UNSATISFIED)
    two_lines(host)
    assert host.python("main.py").stderr == "error: nothing was done\n"


def test_two_lines_keep_what_the_script_printed_before_a_mistake(host):
    host.install(UNSATISFIED)
    two_lines(host)
    assert host.python("main.py").stdout == "top1 [70, 60.5]\n"


def test_two_lines_show_a_mistake_in_the_configuration_as_one_line(host):
    host.install(STRICT)
    two_lines(host)
    assert host.python("main.py").stderr == "error: wrong section\n"


def test_two_lines_exit_with_2_on_a_mistake_in_the_configuration(host):
    host.install(STRICT)
    two_lines(host)
    assert host.python("main.py").returncode == 2


def test_two_lines_tell_the_plugin_what_ended_the_run(host):
    host.install(TELLS_THE_END)
    two_lines(host)
    ends(host, "raise ValueError('of the host')")
    assert host.python("main.py").stdout.endswith("end ValueError('of the host')\n")


def test_two_lines_do_not_take_a_crash_of_a_plugin_for_a_success(host):
    host.install(CRASHES_AT_THE_END)
    two_lines(host)
    assert host.python("main.py").returncode != 0


def test_two_lines_do_not_close_a_session_that_the_script_closed(host):
    host.install(TELLS_THE_END)
    two_lines(host)
    ends(host, "rfquant_hooks.instrument().close()")
    assert host.python("main.py").stdout.count("end None") == 1


def test_two_lines_tell_nothing_at_exit_after_undo(host):
    host.install(UNSATISFIED)
    two_lines(host)
    ends(host, "rfquant_hooks.uninstrument()")
    assert host.python("main.py").returncode == 0


# The served module, by the installed plugin

SHOW_INJECTOR = """
from util.fault_injector import FaultInjector
print(FaultInjector.__module__)
"""


@pytest.mark.parametrize("way", ["launcher", "two lines"])
def test_the_injector_is_served_when_the_host_has_none(host, way):
    host.write("main.py", (TWO_LINES if way == "two lines" else "") + SHOW_INJECTOR)
    run = host.python("main.py") if way == "two lines" else host.rfquant_run("main.py")
    assert run.stdout == "seu_plugin.injection.injector\n", run.stderr


def test_the_hosts_own_injector_wins(host):
    host.write("util/fault_injector.py", "class FaultInjector: ...\n")
    host.write("main.py", SHOW_INJECTOR)
    assert host.rfquant_run("main.py").stdout == "util.fault_injector\n"


def test_without_the_plugin_no_injector_is_served(host):
    host.write("main.py", SHOW_INJECTOR)
    run = host.rfquant_run("-p", "no:seu", "main.py")
    assert "No module named 'util.fault_injector'" in run.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_an_interrupt_of_the_script_passes_through(host):
    ends(host, "raise KeyboardInterrupt")
    plain, run = host.python("main.py"), host.rfquant_run("main.py")
    assert run.returncode == plain.returncode


# Options of plugins

OFFERS = """
from rfquant_hooks.contract import hookimpl
@hookimpl
def rfquant_options():
    return {"--part-of": "which part"}
@hookimpl
def rfquant_configure(config, manager, options):
    print("options", dict(options))
"""


@pytest.mark.parametrize("given", [["--part-of", "1/4"], ["--part-of=1/4"]])
def test_an_option_of_a_plugin_reaches_it_and_not_the_script(host, given):
    host.install(OFFERS)
    host.write("config.yaml", "")
    ends(host, "print(sys.argv[1:])\n")
    run = host.rfquant_run(*given, "main.py", "config.yaml", "--part-of", "mine")
    assert "options {'part_of': '1/4'}" in run.stdout
    assert run.stdout.splitlines()[-1] == "['config.yaml', '--part-of', 'mine']"
    assert run.stderr == ""  # both know what they are for


@pytest.mark.parametrize("given", [["--part-of", "1/4"], ["--part-of=1/4"]])
def test_an_option_of_a_plugin_after_the_script_is_the_scripts_and_a_note_says_so(host, given):
    host.install(OFFERS)
    ends(host, "print(sys.argv[1:])\n")
    run = host.rfquant_run("main.py", *given, "--other")
    assert run.stdout.splitlines()[-1] == str([*given, "--other"])
    told = "note: --part-of after the script is the script's; options of rfquant-run come before it"
    assert run.stderr == f"{told}\n"


def test_an_option_that_is_not_given_is_not_there(host):
    host.install(OFFERS)
    assert "options {}" in host.rfquant_run("main.py").stdout


def test_options_of_plugins_are_in_the_help(host):
    host.install(OFFERS)
    assert "--part-of VALUE" in host.rfquant_run("--help").stdout


def test_a_plugin_says_what_the_value_of_its_option_is():
    offered = {"--part-of": "I/N: which part", "--into": "DIR: a folder", "--any": "Its own: x"}
    with pytest.raises(SystemExit), contextlib.redirect_stdout(io.StringIO()) as printed:
        parse(["--help"], offered)
    lines = " ".join(printed.getvalue().split())
    for told in ("--part-of I/N which part", "--into DIR a folder", "--any VALUE Its own: x"):
        assert told in lines


def test_a_plugin_that_is_left_out_offers_nothing(host):
    host.install(OFFERS)
    assert host.rfquant_run("-p", "no:probe", "--part-of", "1/4", "main.py").returncode == 2


# A profile

FORK = """
name: fork
read_config: util.config:get_config
build_model: quan.utils:replace_module_by_names
phases:
  - {phase: train, module: process, function: train}
  - phase: validate
    module: extra
    function: evaluate
    model: net
    data: batches
    policy: widths
    read_metrics: readers:accuracies
"""
EVALUATION = """
def evaluate(batches, net, configs, widths=None):
    net.seen.append(widths)
    return {"top1": [70, 60.5]}
"""
READERS = """
def accuracies(value):
    return value["top1"]
"""
TELLS_METRICS = """
from rfquant_hooks.contract import BitWidths, hookimpl
@hookimpl
def rfquant_bit_widths(config):
    return BitWidths((4,), (6,))
@hookimpl
def rfquant_run_phase(phase, run):
    outcome = run()
    print(phase.name, outcome.metrics, phase.data, phase.model.seen)
    return outcome
"""


@pytest.fixture
def fork(host):
    """A host whose validate has another name, module and parameters, and its profile."""
    host.write("extra.py", EVALUATION)
    host.write("readers.py", READERS)
    host.write("process.py", "def train(train_loader, model, configs): ...\n")
    text = (host.folder / "main.py").read_text(encoding="utf-8")
    text = text.replace("import train, validate", "import train\nfrom extra import evaluate")
    text = text.replace(
        "validate([1, 2], model, config, train_loader=[3])", "evaluate([1], model, config)"
    )
    host.write("main.py", text)
    host.write("fork.yaml", FORK)
    host.install(TELLS_METRICS)
    return host


FORK_RAN = """\
train () None []
validate (70.0, 60.5) [1] [[([4], [6])]]
top1 {'top1': [70, 60.5]}
"""


@pytest.mark.parametrize("given", [["--profile", "fork.yaml"], ["--profile=fork.yaml"]])
def test_phases_of_a_fork_are_those_of_its_profile(fork, given):
    run = fork.rfquant_run(*given, "main.py")
    assert (run.stdout, run.stderr) == (FORK_RAN, "")


def test_without_its_profile_the_fork_is_refused(fork):
    assert "'process' has no function 'validate'" in fork.rfquant_run("main.py").stderr


def test_the_module_takes_a_profile(fork):
    run = fork.python("-m", "rfquant_hooks", "--profile", "fork.yaml", "main.py")
    assert run.stdout == FORK_RAN


def test_two_lines_take_a_profile(fork):
    two = "import rfquant_hooks as hooks\nhooks.instrument(hooks.find_profile('fork.yaml'))\n"
    text = (fork.folder / "main.py").read_text(encoding="utf-8")
    fork.write("main.py", two + text)
    assert fork.python("main.py").stdout == FORK_RAN


def test_an_installed_profile_is_chosen_by_its_name(fork):
    code = "from rfquant_hooks import find_profile\nFORK = find_profile('fork.yaml')\n"
    fork.install(code, "forks", "[rfquant_profiles]\nmine = forks:FORK\n")
    assert fork.rfquant_run("--profile", "mine", "main.py").stdout == FORK_RAN


def test_the_profile_of_rfquant_has_a_name(host):
    host.install(TELLS_THE_END)
    plain = host.rfquant_run("main.py")
    assert host.rfquant_run("--profile", "rfquant", "main.py").stdout == plain.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("name: fork", "nam: fork"), "fork.yaml: unknown key 'nam'; did you mean 'name'? (keys: "),
        (
            ("module: extra", "module: extro"),
            "host 'fork' has no module 'extro' on the import path",
        ),
        (
            ("function: evaluate", "function: evaluat"),
            "host module 'extra' has no function 'evaluat'; did you mean 'evaluate'?",
        ),
        (
            ("model: net", "model: ent"),
            "profile 'fork': validate: model: host function extra.evaluate has no parameter 'ent': "
            "its parameters are batches, net, configs, widths; did you mean 'net'?",
        ),
        (("data: batches", "data: loader"), "profile 'fork': validate: data: host function extra"),
        (("policy: widths", "policy: arch"), "profile 'fork': validate: policy: host function ext"),
        (
            ("    model: net\n", ""),
            "profile 'fork': validate: model: host function extra.evaluate ",
        ),
        (("readers:acc", "readers:bcc"), "fork.yaml: phases[1].read_metrics: readers:bccuracies: "),
    ],
)
def test_a_profile_that_does_not_fit_is_one_line_before_the_start(fork, change, told):
    assert change[0] in FORK
    fork.write("fork.yaml", FORK.replace(*change))
    fork.write("main.py", "print('started')\n")
    run = fork.rfquant_run("--profile", "fork.yaml", "main.py")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"error: {told}") and run.stderr.count("\n") == 1


def test_parameters_of_a_profile_are_checked_without_a_plugin(fork):
    fork.write("fork.yaml", FORK.replace("model: net", "model: ent"))
    run = fork.rfquant_run("-p", "no:probe", "-p", "no:seu", "--profile", "fork.yaml", "main.py")
    assert (run.returncode, run.stdout) == (2, "")


def test_a_profile_of_modules_that_may_all_be_missing(fork):
    phase = "{phase: search, module: gone, function: search, required: false}"
    fork.write("fork.yaml", f"name: fork\nphases: [{phase}]\n")
    run = fork.rfquant_run("--profile", "fork.yaml", "main.py")
    assert run.stderr == "error: host 'fork' has none of the modules of its profile: gone\n"


def test_a_host_without_a_reader_is_configured_by_its_first_phase(fork):
    fork.install(TELLS_CONFIGURE)
    text = FORK.replace("read_config: util.config:get_config\n", "")
    fork.write("fork.yaml", text.replace("build_model: quan.utils:replace_module_by_names\n", ""))
    run = fork.rfquant_run("--profile", "fork.yaml", "main.py")
    assert run.stdout.splitlines()[0] == "configured by namespace(search=False)"


TELLS_CONFIGURE = (
    TELLS_METRICS
    + """
@hookimpl
def rfquant_configure(config):
    print("configured by", config)
"""
)


def test_the_profile_is_in_the_help(host):
    assert "--profile NAME|FILE" in host.rfquant_run("--help").stdout
