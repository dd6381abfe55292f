"""What else stands on a module whose forward was taken over: where copies and other programs of it
are made.

A copy is the clean module: what is ours is taken off while it is made. DataParallel, torch.jit and
the like would make something that runs without this module's upsets, so they are refused.
"""

from __future__ import annotations

import copy
from typing import Any, Callable, ContextManager, Dict

from torch import nn

from ..errors import InjectionError

#: What torch calls to make another module or program of one.
_MAKERS = {
    "_replicate_for_data_parallel": "replicated by DataParallel (DistributedDataParallel works)",
    "__prepare_scriptable__": "scripted",
}
#: A context manager inside of which a module has nothing of ours.
Away = Callable[[], ContextManager[None]]


def guards(module: nn.Module, owner: str, away: Away) -> Dict[str, Any]:
    """The instance attributes for a module, by name."""

    def deepcopy(memo: Dict[int, Any]) -> Any:
        with away():
            return copy.deepcopy(module, memo)

    def reduce(protocol: Any) -> Any:
        with away():
            parts = module.__reduce_ex__(protocol)
            clean = [dict(part) if part is vars(module) else part for part in parts]
        return tuple(clean)

    why = f"{owner}: a model under upsets cannot be"
    refused = {name: _Refusal(f"{why} {what}") for name, what in _MAKERS.items()}
    return {"__deepcopy__": deepcopy, "__reduce_ex__": reduce, **refused}


class _Refusal:
    def __init__(self, why: str) -> None:
        self._why = why

    def __call__(self) -> Any:
        raise InjectionError(f"{self._why}: disable first")
