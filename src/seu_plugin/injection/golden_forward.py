"""One forward of the golden run: the calls of its modules, and what of them is kept."""

from __future__ import annotations

import threading
import time
import weakref
from bisect import bisect_left
from typing import Any, Callable, Dict, Hashable, List, Optional, Sequence, Set, Tuple

import torch
from torch import nn

from .called_with import CalledWith
from .kept import Kept, Output
from .same_bits import Arguments, memory_of, outputs_of, version
from .unit_state import Tensors, generators

Run = Callable[..., Any]
#: Uses of weights in a forward that is worth a look at how many of them changed.
MANY = 8
#: What is known of a tensor: which output of which call of the golden run it equals.
Name = Tuple[int, int]


class Names:
    """Which tensors of a forward are known to equal those of the golden run, and which of them."""

    def __init__(self) -> None:
        self._known: Dict[int, Tuple[Any, int, Name]] = {}

    def of(self, tensor: torch.Tensor) -> Optional[Name]:
        """None if it is not known, or was written to since."""
        found = self._known.get(id(tensor))
        if found is None or found[0]() is not tensor or found[1] != version(tensor):
            return None
        return found[2]

    def give(self, tensor: torch.Tensor, name: Name) -> None:
        written = version(tensor)
        if written is not None:
            self._known[id(tensor)] = (weakref.ref(tensor), written, name)


class Call:
    """One call of a module: the ``begin``-th of the forward, the calls inside it before ``end``.

    ``inputs`` and ``outputs`` are names; ``repeatable``: it gives the same for the same inputs, as
    far as could be seen; ``pure``: it also leaves its inputs alone, and gives memory of its own.
    """

    __slots__ = ("begin", "end", "form", "inputs", "outputs", "pure", "repeatable", "seconds")

    def __init__(self, begin: int, arguments: Arguments, names: Names) -> None:
        self.begin = self.end = begin
        self.form = arguments.form
        self.inputs = [names.of(tensor) for tensor in arguments.tensors]
        self.outputs: List[Name] = []
        self.repeatable = self.pure = False
        self.seconds = 0.0

    def told(self) -> Tuple[Any, ...]:
        """All but the time it took."""
        place = (self.begin, self.end, self.pure, self.repeatable)
        return (*place, self.form, self.inputs, self.outputs)


class GoldenForward:
    """What a trial can be compared with. ``key``: what the model was called with; ``context``: how;
    ``tensors``: the state of the model; ``uses``: (call, site, width) of each use of a weight."""

    def __init__(
        self,
        key: Any,
        context: Hashable,
        tensors: Tensors,
        drawn: Any,
        training: Set[nn.Module],
    ) -> None:
        self.key, self.context, self.tensors, self.generators = key, context, tensors, drawn
        self.training = training  # modules in train mode
        self.draws = False  # random numbers
        self.looked_at: Optional[List[int]] = None  # places of tensors
        self.calls: Dict[nn.Module, Optional[Call]] = {}  # None: called more than once
        self.begun: Dict[nn.Module, List[int]] = {}
        self.uses: List[Tuple[int, Any, int]] = []
        self._places: List[int] = []
        self.seconds = 0.0

    def use(self, place: int, exposed: Any, width: int) -> None:
        """The ``place``-th call asks for the weight of a site."""
        self.uses.append((place, exposed, width))
        self._places.append(place)

    def uses_in(self, call: Call) -> Sequence[Tuple[int, Any, int]]:
        """Uses of weights inside of a call."""
        first, last = (bisect_left(self._places, place) for place in (call.begin, call.end))
        return self.uses[first:last]

    def spread(self, changed: Sequence[int]) -> bool:
        """Whether so much changes, from so early on, that to watch costs more than it saves."""
        uses = self._places
        if len(uses) < MANY or 4 * len(changed) <= 3 * len(uses):
            return False
        return 10 * changed[0] <= uses[-1]

    def share(self, other: GoldenForward) -> None:
        """Hold the calls of ``other`` in place of equal ones, so that many forwards take no more
        memory than one."""
        if (self.uses, self.begun, self._told()) == (other.uses, other.begun, other._told()):
            self.calls, self.begun = other.calls, other.begun
            if self.tensors.entries is other.tensors.entries:
                self.looked_at = other.looked_at
            self.uses, self._places = other.uses, other._places

    def _told(self) -> List[Any]:
        return [(m, None if call is None else call.told()) for m, call in self.calls.items()]

    def without(self, modules: Set[nn.Module]) -> Optional[List[nn.Module]]:
        """Calls with one of ``modules`` inside are not repeatable; the modules that they are of.
        None if one of ``modules`` was not called, so that it is not known what depends on it."""
        if not all(module in self.begun for module in modules):
            return None
        places = sorted(place for module in modules for place in self.begun[module])
        found = []
        for module, call in self.calls.items():
            if call is not None and crossed(places, call):
                call.repeatable = call.pure = False
                found.append(module)
        return found


def crossed(places: Sequence[int], call: Call) -> bool:
    """Whether one of ``places``, ascending, is inside of a call."""
    following = bisect_left(places, call.begin)
    return following < len(places) and places[following] < call.end


class Recording:
    """Watches one forward of the golden run, and keeps the outputs that save most time a byte.

    ``words``: of all sites; ``cloned``: modules whose outputs later code writes into, so that
    copies are kept (``None``: any may be one).
    """

    def __init__(
        self,
        forward: GoldenForward,
        number: int,
        kept: Kept,
        device: torch.device,
        words: int,
        cloned: Optional[Set[nn.Module]],
    ) -> None:
        self.forward, self._number, self._kept = forward, number, kept
        self._device, self._words, self._cloned = device, max(words, 1), cloned
        self._names, self._counter, self._used = Names(), 0, 0
        self._open: List[int] = []
        self._thread = threading.get_ident()
        self._originals: List[Tuple[nn.Module, List[Any], List[Optional[int]]]] = []
        self.spoilt = False
        self.lost = 0.0  # seconds spent on watching

    def begin(self, tensors: Sequence[torch.Tensor]) -> None:
        for place, tensor in enumerate(tensors):
            self._names.give(tensor, (-1, place))

    def used(self, exposed: Any, width: int) -> None:
        """The layer of a site asks for its weight."""
        if not self._open or threading.get_ident() != self._thread:
            self.spoilt = True
            return
        self._used += exposed.site.words
        self.forward.use(self._open[-1], exposed, width)

    def call(self, module: nn.Module, is_site: bool, run: Run, args: Any, kwargs: Any) -> Any:
        """Run one module, and note it."""
        if threading.get_ident() != self._thread:  # in which order is not known
            self.spoilt = True
            return run(*args, **kwargs)
        entered = self.now()
        arguments = Arguments(args, kwargs)
        call = self._begun(module, arguments)
        versions = [version(tensor) for tensor in arguments.tensors]
        values = CalledWith(arguments, self._kept) if None in versions else None
        before, uses, used = generators(self._device), len(self.forward.uses), self._used
        self._open.append(call.begin)
        began = self.now()
        self.lost += began - entered
        lost = self.lost
        try:
            output = run(*args, **kwargs)
        finally:
            self._open.pop()
        ended = self.now()
        call.seconds = max(ended - began - (self.lost - lost), 0.0)
        call.end = self._counter
        tensors = outputs_of(output)
        drew = generators(self._device) != before
        unquantized = is_site and len(self.forward.uses) == uses  # which is an error in a trial
        if tensors is not None and call.form is not None and not (drew or unquantized):
            call.repeatable = True
            call.pure = [version(tensor) for tensor in arguments.tensors] == versions
            call.pure &= values is None or (values.complete and values.equals(arguments))
            call.pure &= _apart(tensors, arguments.tensors)
            self._name(call, tensors)
            if call.pure:
                inside = self._used - used
                self._keep(module, tensors, type(output) is not tuple, call, used, inside)
        if values is not None:
            values.release(self._kept)
        self.lost += self.now() - ended
        return output

    def _begun(self, module: nn.Module, arguments: Arguments) -> Call:
        call = Call(self._counter, arguments, self._names)
        self._counter += 1
        calls = self.forward.calls
        if module in calls:
            self._kept.give_up(module)
        calls[module] = None if module in calls else call
        self.forward.begun.setdefault(module, []).append(call.begin)
        return call

    def _name(self, call: Call, tensors: Tuple[torch.Tensor, ...]) -> None:
        for place, tensor in enumerate(tensors):
            name = self._names.of(tensor)
            if name is None:
                name = (call.begin, place)
                self._names.give(tensor, name)
            call.outputs.append(name)

    def _keep(
        self,
        module: nn.Module,
        tensors: Tuple[torch.Tensor, ...],
        single: bool,
        call: Call,
        before: int,
        inside: int,
    ) -> None:
        if not self._kept.wants(module) or self.forward.calls[module] is None:
            return
        uncounted = None in [version(tensor) for tensor in tensors]
        lent = uncounted or self._cloned is None or module in self._cloned
        after = self._words - before - inside
        # Given back if the first upset comes later, or if earlier ones were masked: say half.
        gain = call.seconds * max(after + before / 2, 0.0) / self._words
        if lent:
            self._kept.add_copy(self._number, module, tensors, single, gain)
        elif self._kept.add(self._number, module, Output(tensors, single, lent=False), gain):
            alive = [weakref.ref(tensor) for tensor in tensors]  # it may be given up any time
            self._originals.append((module, alive, [version(tensor) for tensor in tensors]))

    def now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def written_later(self, output: Any) -> Set[nn.Module]:
        """Modules whose outputs were written into since they gave them, or leave the model with its
        ``output``, where that can happen; what is kept of them is put right, or dropped."""
        leaving = {memory_of(one)[0] for one in _leaves(output) if isinstance(one, torch.Tensor)}
        found: Set[nn.Module] = set()
        for module, alive, versions in self._originals:
            several = [tensor for tensor in (one() for one in alive) if tensor is not None]
            if len(several) < len(alive):
                continue
            if [version(tensor) for tensor in several] != versions:
                found.add(module)
            kept = self._kept.find(self._number, module)  # dropped if it was written to
            if kept is not None and not leaving.isdisjoint(kept.memory):
                found.add(module)
                self._kept.drop(self._number, module)
                self._kept.add_copy(self._number, module, kept.tensors, kept.single, 0.0)
        self._originals = []
        return found


def _apart(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> bool:
    """Whether they share no memory."""
    return {memory_of(one)[0] for one in some}.isdisjoint(memory_of(one)[0] for one in others)


def _leaves(value: Any) -> List[Any]:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        return [leaf for one in value for leaf in _leaves(one)]
    return [value]
