"""Whether a run came to the functions of its profile: one that did not was the host's alone."""

from __future__ import annotations

import mmap
import os
from multiprocessing import parent_process

from .contract import PluginError
from .profiles import HostProfile


class Reached:
    """Notes that plugins were shown a configuration, here or in a process forked from here."""

    def __init__(self, profile: HostProfile) -> None:
        self._profile = profile
        self._process = os.getpid()
        self._noted = mmap.mmap(-1, 1)  # shared with forks, in which a host may do its work

    def note(self) -> None:
        self._noted[0] = 1

    def check(self) -> None:
        """Raise PluginError if nothing was noted. A process that works for another one, and a rank
        but the first, may have less to do: they are not held to it."""
        works_for_another = os.getpid() != self._process or parent_process() is not None
        if self._noted[0] or works_for_another or os.environ.get("RANK") not in (None, "0"):
            return
        profile = self._profile
        places = [] if profile.read_config is None else [profile.read_config]
        places += [(p.module, p.function) for p in profile.phases if p.config is not None]
        raise PluginError(
            f"profile {profile.name!r}: no plugin was shown a configuration: none of the profile's "
            f"functions ran that have it ({', '.join(map(':'.join, places)) or 'it names none'})"
        )
