"""A campaign that is told to stop, by Ctrl-C or SIGTERM, says what is safe and how it goes on."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Callable, Iterator, Optional

from rfquant_hooks.contract import Stopped


class _Terminated(KeyboardInterrupt):
    """SIGTERM, at the place where Ctrl-C would be raised."""


def _terminate(number: int, frame: Optional[FrameType]) -> None:
    raise _Terminated


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
        number = signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT
        raise Stopped(message(), 128 + number) from None
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
