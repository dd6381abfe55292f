"""Devices and ranks."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

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
    if parsed.type == "meta":
        raise ConfigError(f"device: must hold data; received {device!r}")
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


def on_every_rank(value: Any) -> List[Any]:
    """``value`` of each rank, in order; a collective call."""
    if not _distributed() or torch.distributed.get_world_size() == 1:
        return [value]
    values: List[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def autocast_state(device_type: str) -> Tuple[Any, ...]:
    """Whether autocast is on for a kind of device, and to which dtype."""
    if hasattr(torch, "get_autocast_dtype"):
        return torch.is_autocast_enabled(device_type), torch.get_autocast_dtype(device_type)
    if device_type == "cpu":  # before torch 2.4
        return torch.is_autocast_cpu_enabled(), torch.get_autocast_cpu_dtype()
    return torch.is_autocast_enabled(), torch.get_autocast_gpu_dtype()
