"""A campaign that is told to stop, by Ctrl-C or SIGTERM, says what is safe and how it goes on."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Callable, Iterator, Optional, Type

from rfquant_hooks.contract import Stopped, Terminated

#: Of a campaign that is stopped while it is set up, or in its golden run.
TOO_EARLY = "seu-plugin: stopped before the first trial; nothing of the golden run is kept"


def _terminate(number: int, frame: Optional[FrameType]) -> None:
    raise Terminated


@contextmanager
def stoppable(message: Callable[[], str]) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM raise :class:`~rfquant_hooks.contract.Stopped` with ``message()``
    and the exit code that shells expect, 130 or 143. A handler of the host's own for SIGTERM
    stays."""
    main = threading.current_thread() is threading.main_thread()
    ours = main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt as stop:
        number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
        raise Stopped(message(), 128 + number) from None
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """A :class:`~rfquant_hooks.contract.Stopped` that leaves this and that nobody catches ends the
    process as rfquant-run would: with its line and its exit code, without a traceback. A hook for
    uncaught exceptions that somebody else has set stays."""
    try:
        yield
    except Stopped:
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = _show
        raise


def _show(kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
    if not isinstance(error, Stopped):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stdout.flush()
    print(f"\n{error}", file=sys.stderr, flush=True)
    raise SystemExit(error.exit_code)  # from here, Python takes it as the end of the script
