"""``rfquant-run main.py config.yaml ...``: run the host's own script, unmodified, under hooks."""

from __future__ import annotations

import argparse
import builtins
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import List, Optional, Sequence

from .contract import PluginError
from .instrument import instrument, uninstrument
from .session import Session

EPILOG = """\
examples:
  rfquant-run main.py configs/eval/eval.yaml
  rfquant-run examples/demo_host/main.py examples/demo_host/configs/eval_digits_seu.yaml
  torchrun --nproc_per_node 2 -m rfquant_hooks main.py configs/eval/eval.yaml

Without a section of an installed plugin in the YAML, the script runs as `python main.py` does.
Exit codes: the script's own; 2 when the configuration is wrong, or when the run did not do
what the configuration asked for.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rfquant-run",
        description="Run an RFQuant host's entry script with its plugins, without editing it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-p",
        dest="plugins",
        metavar="no:NAME",
        action="append",
        default=[],
        help="do not load the installed plugin NAME (repeatable)",
    )
    parser.add_argument("script", help="the host's entry script, for example main.py")
    parser.add_argument("args", nargs="*", help="arguments of the script, passed on as they are")
    own = _own_arguments(argv)
    options = parser.parse_args(argv[:own])
    options.args = list(argv[own:])
    for name in options.plugins:
        if not name.startswith("no:"):
            parser.error(f"argument -p: expected no:NAME, received {name!r}")
    if not Path(options.script).is_file():
        parser.error(f"script not found: {options.script}")
    return options


def _own_arguments(argv: Sequence[str]) -> int:
    """How many arguments are ours: options, and the script. argparse would eat a ``--``."""
    position = 0
    while position < len(argv) and argv[position].startswith("-"):
        position += 2 if argv[position] == "-p" else 1
    return position + 1


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the launcher; returns the exit code. The script's own ``SystemExit`` passes through."""
    options = parse(sys.argv[1:] if argv is None else argv)
    return launch(options.script, options.args, [p[3:] for p in options.plugins])


def launch(script: str, args: List[str], blocked: Sequence[str] = ()) -> int:
    """Run ``script`` with ``args`` as ``python script args`` would, under hooks."""
    old_argv, old_path = sys.argv, list(sys.path)
    sys.argv = [script, *args]
    sys.path[:1] = [str(Path(script).resolve().parent)]
    try:
        session = instrument(blocked=blocked)
        try:
            _run_as_main(Path(script))
        except BaseException as error:
            if isinstance(error, PluginError):
                session.close(error)
            elif isinstance(error, SystemExit) and error.code in (None, 0):
                session.close()
            else:
                _close_after(session, error)
            raise
        session.close()
    except PluginError as error:
        _show(error)
        return 2
    finally:
        uninstrument()
        sys.argv, sys.path[:] = old_argv, old_path
    return 0


def _close_after(session: Session, error: BaseException) -> None:
    """Close after the script failed: what a plugin has to say must not hide why."""
    try:
        session.close(error)
    except PluginError as second:
        _show(second)


def _show(error: PluginError) -> None:
    sys.stdout.flush()
    print(f"error: {error}", file=sys.stderr)


def _run_as_main(script: Path) -> None:
    # As `python script` does it; runpy.run_path would change sys.argv[0] and __file__.
    file = str(Path.cwd() / script)
    module = ModuleType("__main__")
    module.__dict__.update(__file__=file, __builtins__=builtins, __spec__=None)
    old_main, sys.modules["__main__"] = sys.modules["__main__"], module
    try:
        with io.open_code(file) as source:
            code = compile(source.read(), file, "exec")
        exec(code, module.__dict__)
    finally:
        sys.modules["__main__"] = old_main
