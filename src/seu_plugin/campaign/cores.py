"""How many worker processes a campaign has, and how many CPU threads each: together no more than
the cores, beyond which both are ten times slower.

What was asked for stands; what was not is made to fit. Both asked for and too many is refused,
but for one thread each, the least that there is.
"""

from __future__ import annotations

import os
from typing import Mapping, NamedTuple, Optional

import torch

from ..errors import ConfigError
from ..fields import several
from ..settings.campaign import CampaignSettings


class Shares(NamedTuple):
    """Worker processes, CPU threads of each, and what to tell of it (None: nothing)."""

    workers: int
    threads: int
    line: Optional[str] = None


def available() -> int:
    """Cores that this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def threads_asked(campaign: CampaignSettings, environment: Mapping[str, str]) -> Optional[int]:
    """CPU threads that somebody asked for: ``campaign.threads``, OMP_NUM_THREADS, or
    torch.set_num_threads, which is known by a number that torch does not take by itself."""
    if campaign.threads is not None:
        return campaign.threads
    told = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if told.isdecimal() and int(told) > 0:
        return int(told)
    now, cores = torch.get_num_threads(), available()
    by_itself = {cores, (cores + 1) // 2, os.cpu_count(), ((os.cpu_count() or 1) + 1) // 2}
    return None if now in by_itself else now


def shared_out(workers: Optional[int], threads: Optional[int], cores: int, gpus: int = 0) -> Shares:
    """What ``workers`` and ``threads`` asked for (None: not) come to on so many cores and GPUs.

    Raises ConfigError if both are asked for and exceed the cores.
    """
    number = workers or max(1, gpus)
    if threads is None:
        return _threads_fit(number, workers is not None, cores)
    if number == 1 or number * threads <= cores:
        return Shares(number, threads)
    on = several(cores, "core")
    if workers is None:
        fits = max(1, cores // threads)
        each = several(threads, "CPU thread")
        why = f"not one for each of {gpus} GPUs, as {each} each are to fit on {on}"
        return Shares(fits, threads, f"{several(fits, 'worker')}, {why}")
    asked = f"{number} workers of {several(threads, 'CPU thread')}"
    if threads == 1:
        return Shares(number, 1, f"warning: {asked} each are more than {on}: slow")
    raise ConfigError(
        f"workers: {asked} each are {number * threads} threads on {on}, which is many times slower "
        "than one a core: lower workers, or threads (OMP_NUM_THREADS where it is null)"
    )


def _threads_fit(workers: int, asked: bool, cores: int) -> Shares:
    threads = max(1, cores // workers)
    if workers == 1:
        return Shares(1, threads)
    told = f"{workers} workers" if asked else f"{workers} workers, one for each GPU"
    line = f"{told}, with {several(threads, 'CPU thread')} each of {several(cores, 'core')}"
    if workers * threads > cores:
        line = f"warning: {line}: slow"
    return Shares(workers, threads, line)
