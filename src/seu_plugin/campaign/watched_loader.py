"""A host's loader, watched as it is iterated by its class alone: it stays the same object."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional

from ..errors import printable

#: Starts a real pass over the loader.
Start = Callable[[], Any]


class Passing:
    """An iterator that is otherwise the real one that it goes through."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def _real(self) -> Any:
        return self._batches

    def __iter__(self) -> Passing:
        return self

    def __next__(self) -> Any:
        return next(self._real())

    def __len__(self) -> int:
        return len(self._real())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)


class WatchedLoader:
    """``loader`` is what the host iterates; ``why`` it cannot be watched, once that was tried."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.why: Optional[str] = None
        self._iterate: Callable[[Start], Any] = _really
        self._derived: Any = None  # one class for all runs

    @contextmanager
    def iterated_by(self, iterate: Callable[[Start], Any]) -> Iterator[None]:
        """Meanwhile ``iter(loader)`` gives what ``iterate`` makes of what starts a real pass."""
        own, swapped = type(self.loader), False
        try:
            if self._derived is None or self._derived.__bases__ != (own,):
                self._derived = self._derived_from(own)
            object.__setattr__(self.loader, "__class__", self._derived)
            swapped = True
        except Exception as error:  # noqa: BLE001 - whatever a class says to being derived from
            self.why = f"a {own.__name__} cannot be watched for labels ({printable(str(error))})"
        self._iterate = iterate
        try:
            yield
        finally:
            self._iterate = _really
            if swapped:
                object.__setattr__(self.loader, "__class__", own)

    def _derived_from(self, own: Any) -> Any:
        """The class ``own``, but for how the loader is iterated."""
        real = own.__iter__

        def __iter__(loader: Any) -> Any:
            return self._iterate(lambda: real(loader))

        def __reduce_ex__(loader: Any, protocol: Any) -> Any:
            """For copies, which are of the own class."""
            derived = type(loader)
            object.__setattr__(loader, "__class__", own)
            try:
                return loader.__reduce_ex__(protocol)
            finally:
                object.__setattr__(loader, "__class__", derived)

        changed = {"__iter__": __iter__, "__reduce_ex__": __reduce_ex__}
        return type(own.__name__, (own,), {**changed, "__module__": own.__module__})


def _really(start: Start) -> Any:
    return start()
