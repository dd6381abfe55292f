"""What a FaultInjector or a Campaign is given besides settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple, Union

import torch
from torch import nn

from ..errors import ConfigError
from ..faults.fault_list import Fault, FaultFile, read_faults
from ..faults.seeding import SEED_LIMIT
from ..fields import integer, shown
from ..settings.injection import InjectionSettings

#: Glob patterns over site names, or the mapping that the section has.
Layers = Union[str, Sequence[str], Mapping[str, Any], None]


def check_model(what: str, model: Any) -> None:
    """Raise ConfigError for what is no model that can be injected into; ``what`` to call it."""
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise ConfigError(f"{what}: must be a torch.nn.Module; received a {kind}")
    if isinstance(model, torch.jit.ScriptModule):
        raise ConfigError(
            f"{what}: is a traced or scripted module, whose forward is no Python any more; "
            "give the module that it was made of"
        )


def check_draw(exposure_draw: Any) -> None:
    """Raise ConfigError for what is no counter of fault maps."""
    draw = integer(exposure_draw)
    if isinstance(draw, bool) or not isinstance(draw, int) or not 0 <= draw < SEED_LIMIT:
        raise ConfigError(
            "FaultInjector.exposure_draw: must be an integer in [0, 2**64); received "
            f"{shown(exposure_draw)}"
        )


def selection(layers: Layers) -> Any:
    """``layers`` as the mapping that the section has."""
    if layers is None:
        return {}
    if isinstance(layers, str) or not isinstance(layers, (Mapping, Sequence)):
        return layers if hasattr(layers, "include") else {"include": layers}
    return layers if isinstance(layers, Mapping) else {"include": tuple(layers)}


def with_list(settings: InjectionSettings, given: Any = None) -> InjectionSettings:
    """Settings of mode ``fault_list`` with the faults themselves in place of their file, and
    static maps in train mode, too; others as they are. ``given``: what ``faults`` was made of,
    which may know its lines. Raises ConfigError for a bad file."""
    if settings.mode != "fault_list":
        return settings
    faults = given if isinstance(given, FaultFile) else listed(settings)
    return settings.model_copy(update={"faults": faults, "persistence": "static"})


def listed(settings: InjectionSettings) -> Tuple[Fault, ...]:
    """The faults of mode ``fault_list``."""
    given = settings.faults
    return read_faults(Path(given).expanduser()) if isinstance(given, str) else given or ()


def as_arguments(settings: InjectionSettings) -> Dict[str, Any]:
    """``settings`` as arguments; the rate has been made a BER."""
    names = InjectionSettings.model_fields
    return {**{name: getattr(settings, name) for name in names}, "rate": None}
