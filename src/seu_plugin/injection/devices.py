"""Devices and ranks."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Tuple, TypeVar

import torch

from ..errors import ConfigError, InjectionError
from ..faults.seeding import fresh_seed
from .statistics import SiteStatistics

Value = TypeVar("Value")


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


def on_every_rank(value: Value) -> List[Value]:
    """``value`` of each rank, in order; a collective call."""
    if not _distributed() or torch.distributed.get_world_size() == 1:
        return [value]
    values: List[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def check_ranks_agree(sites: Mapping[str, SiteStatistics]) -> None:
    """Raise InjectionError if the ranks of a process group did not see the same upsets."""
    # What upsets change in activations may depend on the data, which differ from rank to rank.
    made = {
        name: (site.bits, 0 if name.endswith(".activations") else site.upsets)
        for name, site in sites.items()
    }
    for other, theirs in enumerate(on_every_rank(made)):
        for name, (bits, upsets) in theirs.items():
            if made[name] != (bits, upsets):
                raise InjectionError(
                    f"site {name!r}: rank {rank()} saw {made[name][1]} upsets in "
                    f"{made[name][0]} bits, rank {other} {upsets} in {bits}: the ranks did not "
                    "run the same forwards, so their accuracies cannot be put together"
                )


def autocast_state(device_type: str) -> Tuple[Any, ...]:
    """Whether autocast is on for a kind of device, and to which dtype."""
    if hasattr(torch, "get_autocast_dtype"):
        return torch.is_autocast_enabled(device_type), torch.get_autocast_dtype(device_type)
    if device_type == "cpu":  # before torch 2.4
        return torch.is_autocast_cpu_enabled(), torch.get_autocast_cpu_dtype()
    return torch.is_autocast_enabled(), torch.get_autocast_gpu_dtype()
