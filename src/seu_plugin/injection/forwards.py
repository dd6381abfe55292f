"""Taking over a module's ``forward`` so that it can be given back without a trace.

An instance attribute ``forward`` (not a hook) is exception safe on every torch version, leaves
the state_dict alone, and lets a deep copy or pickle of the module be the clean module: the
copy's attribute becomes the plain method of its class.
"""

from __future__ import annotations

import copy
import types
from typing import Any, Callable, Dict, Optional

import torch
from torch import nn

from ..errors import InjectionError

#: Where forks of the host keep an injector, which replaces quantizers' forwards too.
_HOSTS_OWN = "util.fault_injector"


class TakenForward:
    """A module's replaced ``forward``. Subclasses define ``run``.

    ``original`` is what the module's own forward was: the method of its class, or an instance
    attribute set by somebody else, which :meth:`give_back` restores.
    """

    def __init__(self, module: nn.Module, owner: str) -> None:
        self.owner: str = owner
        current = vars(module).get("forward")
        if isinstance(current, TakenForward):
            raise InjectionError(
                f"{owner} cannot be enabled: {type(module).__name__} is already under "
                f"{current.owner}; disable that one first"
            )
        if getattr(current, "__module__", "") == _HOSTS_OWN:
            raise InjectionError(
                f"{owner} cannot be enabled: the host's own injector ({_HOSTS_OWN}) is enabled on "
                f"a {type(module).__name__}; disable one of the two"
            )
        self.module = module
        self.original: Callable[..., Any] = module.forward
        self._had_attribute = "forward" in vars(module)
        object.__setattr__(module, "forward", self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _is_compiling():  # torch.compile: a graph break, and what is inside runs as it is
            return _untraced(self.run, args, kwargs)
        return self.run(*args, **kwargs)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def give_back(self) -> None:
        if self._had_attribute:
            object.__setattr__(self.module, "forward", self.original)
        else:
            vars(self.module).pop("forward", None)

    def __deepcopy__(self, memo: Dict[int, Any]) -> Any:
        if self._had_attribute:
            return copy.deepcopy(self.original, memo)
        return _plain_forward(memo.get(id(self.module)))

    def __reduce__(self) -> Any:
        if self._had_attribute:
            return _same, (self.original,)
        # Unpickled before the module has instance attributes: finds the method of its class.
        return getattr, (self.module, "forward")


def _never() -> bool:
    return False


_is_compiling: Callable[[], bool] = getattr(
    getattr(torch, "compiler", None), "is_compiling", _never
)  # not before torch 2.1


def _untraced(run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    # Imported here: it takes seconds, and whoever compiles has it already.
    from torch._dynamo import disable

    return disable(run)(*args, **kwargs)  # type: ignore[no-untyped-call]


#: What torch.compiler.disable leaves on a function, had without the import.
_untraced._torchdynamo_disable = True  # type: ignore[attr-defined]


def _same(forward: Any) -> Any:
    return forward


def _plain_forward(module: Optional[nn.Module]) -> Any:
    if module is None:
        raise InjectionError("an injected forward cannot be copied without its module")
    return types.MethodType(type(module).forward, module)
