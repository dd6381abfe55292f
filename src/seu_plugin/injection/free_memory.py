"""How much memory is free: of this machine, of its container, of a GPU."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

import torch

#: Of what is free, what golden outputs and data may take.
SHARE = 4
#: Where it is not known how much is free.
UNKNOWN = 1 << 30
_CONTAINER = Path("/sys/fs/cgroup")


def share_of_free_memory(device: torch.device) -> int:
    """Bytes: a quarter of what is free where the model is."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) // SHARE
    known = [found for found in (_of_machine(), _of_container()) if found is not None]
    return max(min(known, default=UNKNOWN), 0) // SHARE


def _of_machine() -> Optional[int]:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.M)
    return None if found is None else int(found[1]) << 10


def _of_container() -> Optional[int]:
    try:
        limit, used = (
            int((_CONTAINER / f"memory.{name}").read_text(encoding="ascii"))
            for name in ("max", "current")
        )
    except (OSError, ValueError):  # no container, or "max": no limit
        return None
    return limit - used
