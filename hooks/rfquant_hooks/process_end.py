"""A session's close at the end of a process that nobody else closes it in."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import traceback
from types import TracebackType
from typing import Optional, Type

from .contract import PluginError, Stopped
from .session import Session

#: Loaded once a process was started anew and not forked. Such a one runs the two lines itself, and
#: cannot note here that it came to the profile's functions.
_ANEW = {f"multiprocessing.popen_{way}" for way in ("spawn_posix", "spawn_win32", "forkserver")}


class ProcessEnd:
    """Closes a session at the end of the process, and lets a mistake decide the exit code."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._error: Optional[BaseException] = None
        self._previous = sys.excepthook
        self._hook = self._on_exception  # one object, to be recognized in uninstall
        sys.excepthook = self._hook
        atexit.register(self._at_exit)

    def uninstall(self) -> None:
        atexit.unregister(self._at_exit)
        if sys.excepthook is self._hook:
            sys.excepthook = self._previous

    def _on_exception(
        self, kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]
    ) -> None:
        stop = self._session.stop_of(error)
        self._error = stop or error
        if isinstance(error, PluginError):
            print(f"error: {error}", file=sys.stderr)
        elif stop is not None:
            print(f"\n{stop}", file=sys.stderr)
        else:
            self._previous(kind, error, trace)

    def _at_exit(self) -> None:
        code = 2 if isinstance(self._error, PluginError) else 0
        if isinstance(self._error, Stopped):
            code = self._error.exit_code
        told = False
        if not _ANEW.isdisjoint(sys.modules):
            self._session.expects_no_run()
        try:
            self._session.close(self._error)
            told = True
        except PluginError as error:
            print(f"error: {error}", file=sys.stderr)
            code, told = 2 if self._error is None else code, True
        finally:
            if not told:  # Python would show the error, and exit as if all were well
                traceback.print_exc()
            _exit(code if told else code or 1)


def _exit(code: int) -> None:
    """End the process now, unless all is well: an exception in an atexit handler does not change
    the exit code. Handlers that were registered before instrument() do not run; logging's is the
    one that matters."""
    if code:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
