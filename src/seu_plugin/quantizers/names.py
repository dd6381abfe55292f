"""Names of modules, whatever wraps the model: fault maps depend on names."""

from __future__ import annotations

import re
from typing import Iterator, Tuple

from torch import nn

from ..errors import SiteError

#: Wrappers whose one child is the model: DistributedDataParallel, DataParallel, torch.compile,
#: FullyShardedDataParallel, activation checkpointing.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
#: Those that may stand further in, too; "module" may be a module's own name there.
_INSIDE = set(_WRAPPERS) - {"module"}
#: What names of streams are made with besides a site's name (docs/stream-v1.md).
_OF_STREAMS = re.compile(r"\s|#")


def named_modules(model: nn.Module) -> Iterator[Tuple[str, nn.Module]]:
    """The modules inside a model's wrappers, by dotted paths without wrappers in them: maps do not
    depend on these."""
    for path, module in unwrap(model).named_modules():
        yield ".".join(part for part in path.split(".") if part not in _INSIDE), module


def check_name(name: str) -> str:
    """``name``, of a site. Raises SiteError for one that could be mistaken for a stream of another
    purpose ("copy 1 of conv1")."""
    if _OF_STREAMS.search(name):
        raise SiteError(f"layer {name!r}: a site's name must have no blanks and no '#'")
    return name


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside its wrappers."""
    for wrapper in _WRAPPERS:
        if [name for name, _ in model.named_children()] == [wrapper]:
            return unwrap(getattr(model, wrapper))
    return model
