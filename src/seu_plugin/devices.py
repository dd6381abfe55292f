"""Devices and ranks."""

from __future__ import annotations

from typing import Optional

import torch

from .errors import ConfigError
from .seeding import fresh_seed


def check_device(device: Optional[str]) -> Optional[torch.device]:
    """Parse a device. Raises ConfigError if torch does not know it or cannot use it here."""
    if device is None:
        return None
    try:
        parsed = torch.device(device)
        torch.empty(0, device=parsed)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device: cannot be used here; received {device!r} ({reason})") from error
    return parsed


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def rank() -> int:
    """This process's rank; 0 without a process group."""
    return torch.distributed.get_rank() if _distributed() else 0


def agreed_seed() -> int:
    """A fresh seed, the same on every rank."""
    agreed = [fresh_seed()]
    if _distributed():
        torch.distributed.broadcast_object_list(agreed, src=0)
    return agreed[0]
