"""Ctrl-C and SIGTERM: one line where a plugin is at work, as without us where none is."""

import gc
import os
import signal
import subprocess
import sys

import pytest

from rfquant_hooks import Session, Stopped
from rfquant_hooks.contract import Terminated, hookimpl
from rfquant_hooks.manager import create_manager
from rfquant_hooks.stops import Termination

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")

AT_WORK = """
from rfquant_hooks.contract import hookimpl
@hookimpl
def rfquant_run_phase(phase, run):
    return None
@hookimpl
def rfquant_unconfigure(error):
    print("end", type(error).__name__, getattr(error, "exit_code", None), flush=True)
"""
STOPS_ITSELF = """
import os, signal, time
os.kill(os.getpid(), signal.{name})
time.sleep(10)
"""
TWO_LINES = "import rfquant_hooks\nrfquant_hooks.instrument()\n"
SIGNALS = [("SIGINT", 130, "Ctrl-C"), ("SIGTERM", 143, "SIGTERM")]


@pytest.fixture(autouse=True)
def default_sigterm():
    """Whatever sessions of other tests have left."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


class AtWork:
    @hookimpl
    def rfquant_run_phase(self, phase, run):
        return None


def run(host, way):
    if way == "launcher":
        return host.rfquant_run("main.py")
    text = (host.folder / "main.py").read_text(encoding="utf-8")
    host.write("main.py", TWO_LINES + text)
    return host.python("main.py")


@pytest.mark.parametrize("way", ["launcher", "two lines"])
@pytest.mark.parametrize(("name", "code", "what"), SIGNALS)
def test_a_stop_where_a_plugin_is_at_work_is_one_line(host, name, code, what, way):
    host.install(AT_WORK)
    host.append("main.py", STOPS_ITSELF.format(name=name))
    ended = run(host, way)
    assert (ended.returncode, ended.stderr.strip()) == (code, f"stopped by {what}")
    assert ended.stdout.splitlines()[-1] == f"end Stopped {code}"


@pytest.mark.parametrize(("name", "code", "what"), SIGNALS)
def test_a_stop_of_a_host_on_its_own_is_as_under_python(host, name, code, what):
    host.append("main.py", STOPS_ITSELF.format(name=name))
    plain, launched = host.python("main.py"), host.rfquant_run("main.py")
    assert (launched.returncode, launched.stdout) == (plain.returncode, plain.stdout)
    assert ("Traceback" in launched.stderr) == ("Traceback" in plain.stderr)


def test_a_stop_in_a_phase_is_one_line(host):
    host.install(AT_WORK)
    process = host.folder / "process.py"
    slow = 'return "trained"'
    text = process.read_text(encoding="utf-8")
    assert slow in text
    stop = "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(10)"
    process.write_text(text.replace(slow, stop), encoding="utf-8")
    ended = host.rfquant_run("main.py")
    assert (ended.returncode, ended.stderr.strip()) == (143, "stopped by SIGTERM")


def test_sigterm_is_given_back_when_the_session_closes():
    session = Session(create_manager([AtWork()], entry_points=False))
    session.takes_signals = True
    session.configure({})
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    session.close()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_session_that_nobody_closes_gives_sigterm_back_when_it_is_gone():
    session = Session(create_manager([AtWork()], entry_points=False))
    session.takes_signals = True
    session.configure({})
    del session
    gc.collect()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_stays_as_it_is_where_no_plugin_is_at_work():
    session = Session(create_manager([], entry_points=False))
    session.takes_signals = True
    session.configure({})
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert session.stop_of(KeyboardInterrupt()) is None


def test_a_session_that_a_host_made_itself_leaves_sigterm_to_it():
    session = Session(create_manager([AtWork()], entry_points=False))
    session.configure({})
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_the_hosts_own_stays():
    def own(number, frame):
        pass

    signal.signal(signal.SIGTERM, own)
    try:
        termination = Termination()
        termination.on()
        assert signal.getsignal(signal.SIGTERM) is own
        termination.off()
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_a_stop_that_has_a_line_keeps_it():
    session = Session(create_manager([AtWork()], entry_points=False))
    stop = Stopped("two trials are safe", 143)
    assert session.stop_of(stop) is stop
    assert session.stop_of(Terminated()).exit_code == 143
    assert session.stop_of(ValueError()) is None


def test_a_forked_process_ends_by_sigterm_as_it_would_without_us():
    script = """
import os, signal, time
from rfquant_hooks.stops import Termination
Termination().on()
child = os.fork()
if child == 0:
    time.sleep(10)
    os._exit(0)
time.sleep(0.2)
os.kill(child, signal.SIGTERM)
print(os.WTERMSIG(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{signal.SIGTERM.value}\n", "")
