"""Taking over a module's ``forward`` so that it can be given back without a trace.

An instance attribute ``forward`` (not a hook) is exception safe on every torch version, leaves
the state_dict alone, and lets a deep copy or pickle of the module be the clean module: the
copy's attribute becomes the plain method of its class.
"""

from __future__ import annotations

import copy
import re
import threading
import types
from typing import Any, Callable, Dict, List, Optional

import torch
from torch import nn

from ..errors import InjectionError

#: Other injectors replace quantizers' forwards too, that of a fork of the host in
#: util/fault_injector.py for one. What they have in common: the module's or the function's name.
_INJECTORS = re.compile(r"(?:^|\.)fault_inject(?:or|ion)$|Fault|Inject|BitFlip")
#: Seconds that autograd's thread waits for a forward that may be waiting for it.
PATIENCE = 60.0
#: What torch calls to make of a module something that would run without this one's upsets.
_MAKERS = {
    "_replicate_for_data_parallel": "replicated by DataParallel (DistributedDataParallel works)",
    "__prepare_scriptable__": "scripted",
}


class _NoCode(InjectionError, AttributeError):
    """So that ``hasattr`` is answered, too."""


class Hold:
    """What the forwards that one injector has taken over share: its name, and a lock.

    Forwards of several threads come one after the other: where the model is in its forward, which
    map holds and what a module's tensors are replaced by is the same for all of it. Use as a
    context manager around one forward.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.over = False
        self.taken: List[TakenForward] = []
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if self._lock.acquire(blocking=False):
            return
        if not isinstance(threading.current_thread(), threading._DummyThread):
            self._lock.acquire()
        # One of autograd's: a recomputation, that the holder of the lock may be waiting for.
        elif not self._lock.acquire(timeout=PATIENCE):
            raise InjectionError(
                f"{self.owner}: a layer is recomputed in another thread while a forward of the "
                "model waits for it: call backward outside of the forward, or disable first"
            )

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def check(self) -> None:
        """Raise InjectionError if somebody else has replaced one of the forwards since."""
        for forward in self.taken:
            forward.check_held()

    def give_back(self) -> None:
        """Undo all, last first. A forward that another thread has begun ends before."""
        with self:
            self.over = True
            for forward in reversed(self.taken):
                forward.give_back()


class TakenForward:
    """A module's replaced ``forward``. Subclasses define ``run``.

    ``original`` is what the module's own forward was: the method of its class, or an instance
    attribute set by somebody else, which :meth:`give_back` restores.
    """

    def __init__(self, module: nn.Module, hold: Hold) -> None:
        self.hold = hold
        current = vars(module).get("forward")
        if isinstance(current, TakenForward):
            raise InjectionError(
                f"{hold.owner} cannot be enabled: {type(module).__name__} is already under "
                f"{current.hold.owner}; disable that one first"
            )
        names = [str(getattr(current, name, "")) for name in ("__module__", "__qualname__")]
        if current is not None and any(map(_INJECTORS.search, names)):
            raise InjectionError(
                f"{hold.owner} cannot be enabled: another injector ({names[0]}) is enabled on a "
                f"{type(module).__name__}; disable one of the two"
            )
        self.module = module
        self.original: Callable[..., Any] = module.forward
        self._had_attribute = "forward" in vars(module)
        object.__setattr__(module, "forward", self)
        for name, what in _MAKERS.items():
            why = f"{hold.owner}: the model cannot be {what} while upsets are injected"
            object.__setattr__(module, name, _Refusal(module, name, why))
        hold.taken.append(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _is_compiling():  # torch.compile: a graph break, and what is inside runs as it is
            return _untraced(self._alone, args, kwargs)
        return self._alone(*args, **kwargs)

    def _alone(self, *args: Any, **kwargs: Any) -> Any:
        with self.hold:
            if self.hold.over:  # between the look at the attribute and the lock
                return self.original(*args, **kwargs)
            return self.run(*args, **kwargs)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    @property
    def __code__(self) -> Any:
        """What torch.export looks at first."""
        raise _NoCode(f"{self.hold.owner}: a model under upsets cannot be exported: disable first")

    def check_held(self) -> None:
        """Raise InjectionError unless the module's forward is still this one."""
        current = vars(self.module).get("forward")
        if current is not self:
            source = getattr(current, "__module__", None) or "somebody"
            raise InjectionError(
                f"{self.hold.owner}: the forward of a {type(self.module).__name__} was replaced "
                f"meanwhile ({source}), so it is not known what its layer sees: disable one of "
                "the two"
            )

    def give_back(self) -> None:
        for name in _MAKERS:
            vars(self.module).pop(name, None)
        if vars(self.module).get("forward") is not self:
            return  # whoever replaced it has this one, which passes everything on from now on
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


class _Refusal:
    """Stands where torch looks for a way to make another module of this one."""

    def __init__(self, module: nn.Module, name: str, why: str) -> None:
        self._module, self._name, self._why = module, name, why

    def __call__(self) -> Any:
        raise InjectionError(f"{self._why}: disable first")

    def __deepcopy__(self, memo: Dict[int, Any]) -> Any:
        return _maker(memo.get(id(self._module)), self._name)

    def __reduce__(self) -> Any:
        return _maker, (self._module, self._name)


def _maker(module: Optional[nn.Module], name: str) -> Any:
    """What a copy of the module has: the method of its class, or one that gives the module."""
    method = getattr(type(module), name, _itself)
    return types.MethodType(method, module)


def _itself(module: nn.Module) -> nn.Module:
    return module


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
