"""Taking over a module's ``forward`` so that it can be given back without a trace.

An instance attribute ``forward`` (not a hook) is exception safe on every torch version and leaves
the state_dict alone. Each module has a lock: forwards of the model come one after the other, and so
do those of a layer; threads that a forward starts may run other layers meanwhile.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Iterator, List, Optional

import torch
from torch import nn

from ..errors import InjectionError
from .guards import guards

#: Other injectors replace quantizers' forwards too, that of a fork of the host in
#: util/fault_injector.py for one. What they have in common: the module's or the function's name.
_INJECTORS = re.compile(r"(?:^|\.)fault_inject(?:or|ion)$|Fault|Inject|BitFlip")


class _NoCode(InjectionError, AttributeError):
    """So that ``hasattr`` is answered, too."""


class Hold:
    """What the forwards that one injector has taken over share; the model's is the first."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.over = False
        self.taken: List[TakenForward] = []
        self.kept: Any = None  # what lives as long as the model
        _HOLDS.add(self)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Inside, no other thread is in a forward; one that has begun ends before."""
        with ExitStack() as stack:
            for forward in self.taken:  # the model's first, as a forward takes them
                stack.enter_context(forward.lock)
            yield

    def check(self) -> None:
        """Raise InjectionError if somebody else has replaced one of the forwards since."""
        for forward in self.taken:
            forward.check_held()

    def give_back(self) -> None:
        """Undo all, last first."""
        with self.still():
            self.over = True
            for forward in reversed(self.taken):
                forward.give_back()


_HOLDS: weakref.WeakSet[Hold] = weakref.WeakSet()


def _fresh_locks() -> None:
    """In a forked child there is no thread that would release a lock."""
    for hold in _HOLDS:
        for forward in hold.taken:
            forward.own_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_locks)


class TakenForward:
    """A module's replaced ``forward``. Subclasses define ``run``.

    ``original`` is what the module's own forward was: the method of its class, or an instance
    attribute set by somebody else, which :meth:`give_back` restores. ``inside``: the forward of the
    layer that runs this one.
    """

    def __init__(
        self, module: nn.Module, hold: Hold, inside: Optional[TakenForward] = None
    ) -> None:
        self.hold, self._inside, self.own_lock = hold, inside, threading.RLock()
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
        self._guards = guards(module, hold.owner, self.away)
        self._stand()
        hold.taken.append(self)

    @property
    def lock(self) -> Any:
        """Its own, or that of the forward it runs inside."""
        return self.own_lock if self._inside is None else self._inside.lock

    def guard(self, name: str, value: Callable[..., Any]) -> None:
        """Another instance attribute while the forward is taken over."""
        self._guards[name] = value
        object.__setattr__(self.module, name, value)

    def _stand(self) -> None:
        for name, value in {"forward": self, **self._guards}.items():
            object.__setattr__(self.module, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _is_compiling():  # torch.compile: a graph break, and what is inside runs as it is
            return _untraced(self._alone, args, kwargs)
        return self._alone(*args, **kwargs)

    def _alone(self, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
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

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside, the module has nothing of ours, and no other thread is in a forward."""
        with self.hold.still():
            ours = vars(self.module).get("forward") is self
            self.give_back()
            try:
                yield
            finally:
                if ours and not self.hold.over:
                    self._stand()

    def give_back(self) -> None:
        for name, value in self._guards.items():
            if vars(self.module).get(name) is value:
                del vars(self.module)[name]
        if vars(self.module).get("forward") is not self:
            return  # whoever replaced it has this one, which passes everything on from now on
        if self._had_attribute:
            object.__setattr__(self.module, "forward", self.original)
        else:
            vars(self.module).pop("forward", None)


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
