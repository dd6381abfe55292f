"""Ctrl-C and SIGTERM in a run that plugins take part in: one line, and the exit code of a shell."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Optional

from .contract import Stopped, Terminated


class Termination:
    """While it is on, SIGTERM raises :class:`~rfquant_hooks.contract.Terminated` in the main thread
    of this process, as Ctrl-C raises KeyboardInterrupt. A handler of the host's own stays."""

    def __init__(self) -> None:
        self._process: Optional[int] = None
        self._handler = self._terminate  # one object, to be recognized in off

    def on(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._handler)
            self._process = os.getpid()

    def off(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) is self._handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _terminate(self, number: int, frame: Optional[FrameType]) -> None:
        if os.getpid() == self._process:
            raise Terminated
        # A loader's process that was forked: it ends as it would without us.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def stop_of(error: BaseException) -> Optional[Stopped]:
    """What the user's stop is called where plugins are at work; None for any other error."""
    if isinstance(error, Stopped):
        return error
    if isinstance(error, Terminated):
        return Stopped("stopped by SIGTERM", Terminated.exit_code)
    return Stopped("stopped by Ctrl-C") if isinstance(error, KeyboardInterrupt) else None
