"""Names of modules, whatever wraps the model: fault maps depend on names."""

from __future__ import annotations

import re

from torch import nn

from ..errors import SiteError

#: Wrappers whose one child is the model: DistributedDataParallel, DataParallel, torch.compile,
#: FullyShardedDataParallel, activation checkpointing.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
#: Those that may stand further in, too; "module" may be a module's own name there.
_INSIDE = set(_WRAPPERS) - {"module"}
#: What names of streams are made with besides a site's name (docs/stream-v1.md).
_OF_STREAMS = re.compile(r"\s|#")


def clean_name(name: str) -> str:
    """A dotted path without the wrappers in it: maps do not depend on them."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in _WRAPPERS:
        del parts[0]
    return ".".join(part for part in parts if part not in _INSIDE)


def site_name(name: str) -> str:
    """The name of the site at a dotted path. Raises SiteError for one that could be mistaken for
    a stream of another purpose ("copy 1 of conv1")."""
    found = clean_name(name)
    if _OF_STREAMS.search(found):
        raise SiteError(f"layer {found!r}: a site's name must have no blanks and no '#'")
    return found


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside its wrappers."""
    for wrapper in _WRAPPERS:
        if [name for name, _ in model.named_children()] == [wrapper]:
            return unwrap(getattr(model, wrapper))
    return model
