"""``rfquant-run main.py config.yaml ...``: run the host's own script, unmodified, under hooks."""

from __future__ import annotations

import argparse
import builtins
import io
import re
import sys
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List, Mapping, Optional, Sequence

from .contract import PluginError, Stopped
from .importing import refuse_script
from .instrument import instrument, uninstrument
from .known_profiles import find_profile
from .manager import create_manager
from .profiles import RFQUANT
from .repairs import REPAIRS, all_but
from .session import Session

EPILOG = """\
examples:
  rfquant-run main.py configs/eval/eval.yaml
  rfquant-run --cpu main.py configs/eval/eval.yaml
  rfquant-run --profile fork.yaml main.py configs/eval/eval.yaml
  rfquant-run examples/demo_host/main.py examples/demo_host/configs/eval_digits_seu.yaml
  torchrun --nproc_per_node 2 -m rfquant_hooks main.py configs/eval/eval.yaml

Options of rfquant-run come before the script; all that follows it is the script's.
Without a section of an installed plugin in the YAML, the script runs as `python main.py` does,
but for the repairs of what would make it fail; each one applied is told on stdout.
Exit codes: the script's own; 2 when the configuration is wrong, or when the run did not do
what the configuration asked for.
"""

#: What the meaning of a plugin's option may begin with, ``DIR: folder of ...`` say.
_METAVAR = re.compile(r"([A-Z][A-Z/]*): ")
_WITH_VALUE = ("-p", "--profile", "--no-repair", "--local-rank", "--local_rank")


def offered_options(argv: Sequence[str]) -> Dict[str, str]:
    """Options of the installed plugins, but for those that ``argv`` leaves out."""
    blocked = [value[3:] for flag, value in zip(argv, argv[1:]) if flag == "-p"]
    try:
        manager = create_manager(blocked=blocked)
    except PluginError:  # said again, and better, when the host is put under hooks
        return {}
    offered: Dict[str, str] = {}
    for offer in manager.hook.rfquant_options():
        offered.update(offer)
    return offered


def parse(argv: Sequence[str], offered: Optional[Mapping[str, str]] = None) -> argparse.Namespace:
    offered = offered_options(argv) if offered is None else offered
    parser = argparse.ArgumentParser(
        prog="rfquant-run",
        description="Run an RFQuant host's entry script with its plugins, without editing it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # _own_arguments knows options by their full names
    )
    parser.add_argument(
        "-p",
        dest="plugins",
        metavar="no:NAME",
        action="append",
        default=[],
        help="do not load the installed plugin NAME (repeatable)",
    )
    parser.add_argument(
        "--profile",
        metavar="NAME|FILE",
        help="what the host looks like, if it is no RFQuant: a file (.yaml, .yml, .json), or the "
        "name of an installed profile (default: rfquant)",
    )
    parser.add_argument(
        "--cpu",
        action="store_true",
        help="run a host written for CUDA on the CPU, with gloo for nccl",
    )
    parser.add_argument(
        "--no-repair",
        dest="unrepaired",
        metavar="NAME",
        action="append",
        default=[],
        help="do not mend defect NAME of the host (repeatable)",
    )
    parser.add_argument(
        "--list-repairs",
        action=_ListRepairs,
        help="show the defects that are mended where a host has them, and exit",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    parser.add_argument(
        "--local-rank",
        "--local_rank",
        metavar="N",
        help="passed on to the script (torch.distributed.launch puts it here)",
    )
    parser.add_argument("script", help="the host's entry script, for example main.py")
    parser.add_argument("args", nargs="*", help="arguments of the script, passed on as they are")
    group = parser.add_argument_group("options of plugins")
    for name, meaning in offered.items():
        metavar = _METAVAR.match(meaning)
        group.add_argument(
            name,
            metavar="VALUE" if metavar is None else metavar[1],
            help=meaning if metavar is None else meaning[metavar.end() :],
        )
    own = _own_arguments(argv, (*_WITH_VALUE, *offered))
    options = parser.parse_args(argv[:own])
    options.args = list(argv[own:])
    names = [_destination(name) for name in offered]
    options.offered = {n: getattr(options, n) for n in names if getattr(options, n) is not None}
    options.misplaced = [
        name
        for name in offered
        if _destination(name) not in options.offered
        and any(a == name or a.startswith(f"{name}=") for a in options.args)
    ]
    if options.local_rank is not None:
        options.args.insert(0, f"--local-rank={options.local_rank}")
    for name in options.plugins:
        if not name.startswith("no:"):
            parser.error(f"argument -p: expected no:NAME, received {name!r}")
    if not Path(options.script).is_file():
        parser.error(f"script not found: {options.script}")
    return options


def _destination(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def missing_file(script: str, args: Sequence[str]) -> Optional[str]:
    """The first YAML file among the script's arguments that is neither here nor beside the script;
    None if there is none. What follows an option may be a file that the script is to write."""
    for before, argument in zip(("", *args), args):
        if argument.endswith((".yaml", ".yml")) and not argument.startswith("-"):
            there = Path(script).parent / argument
            if not before.startswith("-") and not Path(argument).exists() and not there.exists():
                return argument
    return None


def _version() -> str:
    try:
        return metadata.version("seu-plugin")
    except metadata.PackageNotFoundError:  # run from its source
        return "unknown"


def _own_arguments(argv: Sequence[str], with_value: Sequence[str]) -> int:
    """How many arguments are ours: options, and the script. argparse would eat a ``--``."""
    position = 0
    while position < len(argv) and argv[position].startswith("-"):
        position += 2 if argv[position] in with_value else 1
    return position + 1


class _ListRepairs(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        for name, repair in REPAIRS.items():
            print(f"{name:16} {repair.summary}")
        parser.exit()


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the launcher; returns the exit code. The script's own ``SystemExit`` passes through."""
    options = parse(sys.argv[1:] if argv is None else argv)
    blocked = [p[3:] for p in options.plugins]
    for name in options.misplaced:
        print(
            f"note: {name} after the script is the script's; options of rfquant-run come before it",
            file=sys.stderr,
        )
    missing = missing_file(options.script, options.args)
    if missing is not None:
        print(f"error: {missing}: no such file", file=sys.stderr)
        return 2
    return launch(
        options.script,
        options.args,
        blocked,
        options.unrepaired,
        options.cpu,
        options=options.offered,
        profile=options.profile,
    )


def launch(
    script: str,
    args: List[str],
    blocked: Sequence[str] = (),
    unrepaired: Sequence[str] = (),
    cpu: bool = False,
    plugins: Sequence[object] = (),
    options: Optional[Mapping[str, str]] = None,
    profile: Optional[str] = None,
) -> int:
    """Run ``script`` with ``args`` as ``python script args`` would, under hooks.

    ``plugins`` are registered before those of the entry points; ``options`` are for plugins;
    ``profile`` is a name or a file, None for RFQuant's.
    """
    with ExitStack() as undo:
        undo.callback(_give_back, sys.argv, list(sys.path))
        sys.argv = [script, *args]
        sys.path[:1] = [str(Path(script).resolve().parent)]
        undo.callback(uninstrument)
        try:
            repairs = all_but(unrepaired)
            without_cuda = _without_cuda(undo) if cpu else None
            # Here, with the host's folder on the path: the profile may name its functions.
            chosen = RFQUANT if profile is None else find_profile(profile)
            refuse_script(chosen, script)
            session = instrument(chosen, plugins, blocked, repairs=repairs, options=options)
            if without_cuda is not None:
                without_cuda.place_host()
            _run(Path(script), session)
        except PluginError as error:
            _show(error)
            return 2
        except Stopped as stop:
            print(f"\n{stop}", file=sys.stderr, flush=True)
            return stop.exit_code
    return 0


def _without_cuda(undo: ExitStack) -> Any:
    from .cpu import WithoutCuda  # needs torch

    changes = WithoutCuda()
    undo.callback(changes.undo)
    changes.prepare()
    return changes


def _give_back(argv: List[str], path: List[str]) -> None:
    sys.argv, sys.path[:] = argv, path


def _run(script: Path, session: Session) -> None:
    try:
        _run_as_main(script)
    except BaseException as error:
        if isinstance(error, PluginError):
            session.close(error)
        elif isinstance(error, SystemExit) and error.code in (None, 0):
            session.close()
        else:
            stop = session.stop_of(error)
            _close_after(session, stop or error)
            if stop is not None:
                raise stop from None
        raise
    session.close()


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
