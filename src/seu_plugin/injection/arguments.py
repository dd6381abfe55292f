"""What a FaultInjector or a Campaign is given besides settings."""

from __future__ import annotations

from typing import Any, Mapping, Sequence, Union

import torch
from torch import nn

from ..errors import ConfigError

#: Glob patterns over site names, or the mapping that the section has.
Layers = Union[str, Sequence[str], Mapping[str, Any], None]


def check_model(where: str, model: Any) -> None:
    """Raise ConfigError for what is no model that can be injected into."""
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise ConfigError(f"{where}.model: must be a torch.nn.Module; received a {kind}")
    if isinstance(model, torch.jit.ScriptModule):
        raise ConfigError(
            f"{where}.model: is a traced or scripted module, whose forward is no Python any more; "
            "give the module that it was made of"
        )


def selection(layers: Layers) -> Any:
    """``layers`` as the mapping that the section has."""
    if layers is None:
        return {}
    if isinstance(layers, str) or not isinstance(layers, (Mapping, Sequence)):
        return layers if hasattr(layers, "include") else {"include": layers}
    return layers if isinstance(layers, Mapping) else {"include": tuple(layers)}
