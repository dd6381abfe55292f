"""Work of the golden run, used again by trials: where a forward has to be computed, and where not.

Exact by construction: what is given back is what the same kernels made of the same inputs, and
whatever cannot be known to be that is computed.
"""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Sequence, Set

import torch
from torch import nn

from .called_with import CalledWith, context, device_of
from .free_memory import share_of_free_memory
from .golden_forward import GoldenForward, Recording
from .kept import Kept
from .late_start import LateStart
from .modules_seen import ModulesSeen
from .same_bits import Arguments
from .unit_state import ModelState, Tensors, attributes, generators

Run = Callable[..., Any]
#: How many times as long as to look at its tensors once the golden run must take.
WORTH = 5.0
#: Bytes, about, of what is noted of a tensor of the model, and of a call, in one forward.
OF_A_TENSOR, OF_A_CALL = 300, 1000
_CPU = torch.device("cpu")


class Reuse:
    """Watches the forwards of a model: those of the golden run are recorded, and the n-th of each
    trial is compared with the n-th of the golden run. Only forwards in eval mode count.

    ``memory``: bytes of golden outputs and of what else is kept, at most; None is a share of what
    is free where the model is when the golden run begins, divided by ``processes``.
    """

    def __init__(self, memory: Optional[int] = None, processes: int = 1) -> None:
        self._memory, self.processes = memory, processes
        self._seen: Optional[ModulesSeen] = None
        self._exposed: Sequence[Any] = ()
        self._device = _CPU  # of the golden run
        self._live: Any = None  # a Recording or a LateStart
        self._off = True
        self.clear()

    def clear(self) -> None:
        """Forget the golden run."""
        self.kept = Kept(self._memory or 0)
        self._golden: List[Optional[GoldenForward]] = []
        self._mode, self._next = "", 0
        self._cloned: Optional[Set[nn.Module]] = None
        self._last: Optional[Tensors] = None
        self._judged, self._as_before = False, True
        self.repeats = True  # no buffer was seen to change, and no random number to be drawn
        self._attributes: List[Any] = []
        self.skipped = self.seconds = 0.0

    def attach(self, root: nn.Module, exposed: Sequence[Any]) -> ModulesSeen:
        """Watch ``root`` from now on; its sites are ``exposed``."""
        self._exposed = exposed
        self._seen = ModulesSeen(root, {one.site.layer for one in exposed})
        self._state = ModelState(root)
        self.clear()
        return self._seen

    def golden(self) -> None:
        """The forwards that follow are those of the golden run."""
        self.clear()
        self._mode, self._off = "golden", False
        assert self._seen is not None
        inplace = any(getattr(module, "inplace", False) for module in self._state.modules)
        self._cloned = None if inplace else set()
        self._written: Set[nn.Module] = set()

    def trial(self) -> None:
        """The forwards that follow are those of a trial of static maps of weights."""
        self._mode, self._next = "trial", 0
        if not self._off and not self._judged:
            self._judge()
        self.skipped = self.seconds = 0.0

    def _judge(self) -> None:
        """Reuse nothing if a trial would spend on watching what it saves."""
        self._judged = True
        golden = [one for one in self._golden if one is not None]
        if golden:
            began = time.perf_counter()
            self._state.differing(golden[0].tensors, True, self._looked_at(golden[0]))
            watching = time.perf_counter() - began
            if sum(one.seconds for one in golden) < WORTH * watching:
                self.give_up()

    def _looked_at(self, golden: GoldenForward) -> List[int]:
        """Places of all tensors but those of BatchNorms that are not called, of which a model of
        many widths has thousands."""
        assert self._seen is not None
        if golden.looked_at is None:
            modules, owner = self._state.modules, self._seen.owner
            called = {one for one in modules if owner[one] in golden.begun}
            norm = nn.modules.batchnorm._BatchNorm
            wanted = {one for one in modules if one in called or not isinstance(one, norm)}
            golden.looked_at = golden.tensors.places(wanted)
        return golden.looked_at

    def idle(self) -> None:
        """The forwards that follow are computed, and not looked at."""
        self._mode = ""

    def left_on_cpu(self) -> int:
        """Bytes of CPU memory that outputs leave to what else is kept; after the golden run."""
        if self._memory is not None:
            return self._memory - self.kept.used
        if self.kept.limit and self._device == _CPU:
            return self.kept.limit - self.kept.used
        return share_of_free_memory(_CPU) // self.processes

    @property
    def share(self) -> float:
        """Of the work of the trial so far, what was reused: by the golden run's time of it."""
        return min(self.skipped / self.seconds, 1.0) if self.seconds else 0.0

    def used(self, exposed: Any, width: int) -> None:
        """A layer asks for its clean weight."""
        if isinstance(self._live, Recording):
            self._live.used(exposed, width)

    def call(self, module: nn.Module, run: Run, args: Any, kwargs: Any) -> Any:
        """What a module gives in the forward that runs now."""
        live = self._live
        if live is None:
            return run(*args, **kwargs)
        if isinstance(live, Recording):
            assert self._seen is not None
            return live.call(module, module in self._seen.sites, run, args, kwargs)
        return live.call(module, run, args, kwargs)

    def forward(self, run: Run, args: Any, kwargs: Any, exposed: bool) -> Any:
        """One forward of the whole model that calibrates nothing; ``exposed`` to upsets, or not."""
        if self._seen is None or self._seen.root.training or self._off or not self._mode:
            return run(*args, **kwargs)
        number, self._next = self._next, self._next + 1
        if self._mode == "golden":
            number = len(self._golden)
            self._golden.append(None)
        arguments = Arguments(args, kwargs)
        if arguments.form is None or not self._permitted(arguments.tensors):
            return run(*args, **kwargs)
        if exposed == (self._mode == "golden"):
            return run(*args, **kwargs)
        try:
            if self._mode == "golden":
                return self._recorded(number, arguments, run, args, kwargs)
            return self._replayed(number, arguments, run, args, kwargs)
        finally:
            self._live = None

    def _permitted(self, tensors: Sequence[torch.Tensor]) -> bool:
        if torch._C._get_tracing_state():
            return False
        if getattr(torch._C, "_len_torch_dispatch_stack", int)():
            return False
        if getattr(torch._C, "_len_torch_function_stack", int)():
            return False
        if torch.is_grad_enabled():
            if any(tensor.requires_grad for tensor in tensors):
                return False
            parameters = (p for module in self._state.modules for p in module._parameters.values())
            return not any(p is not None and p.requires_grad for p in parameters)
        return True

    def _recorded(self, number: int, arguments: Arguments, run: Run, args: Any, kwargs: Any) -> Any:
        device = self._device = device_of(arguments.tensors)
        if not self.kept.limit and self._memory is None:
            self.kept.limit = share_of_free_memory(device) // self.processes
        key = CalledWith(arguments, self.kept)
        tensors = self._state.taken(self._last)
        fresh = [v for k, v in tensors.values.items() if not _shared(self._last, k, v)]
        nbytes = sum(value.numel() * value.element_size() for value in fresh)
        if self._last is not None and tensors is not self._last:  # as in each forward after it
            nbytes += OF_A_TENSOR * len(tensors.entries)
        if not (key.complete and self._state.plain and self.kept.reserve(nbytes)):
            return run(*args, **kwargs)
        self._last = tensors
        before, drawn = attributes(self._state.modules), generators(device)
        if number == 0:
            self._attributes = before
        golden = GoldenForward(key, context(device), tensors, drawn, self._training())
        words = sum(exposed.site.words for exposed in self._exposed)
        cloned = self._cloned if number == 0 else self._written
        live = self._live = Recording(golden, number, self.kept, device, words, cloned)
        live.begin(arguments.tensors)
        began = live.now()
        output = run(*args, **kwargs)
        golden.seconds = live.now() - began - live.lost
        self._live = None
        self._written |= live.written_later(output)
        golden.draws = generators(device) != drawn
        if attributes(self._state.modules) != before:
            self.give_up()  # a module that keeps what another may read: no call is known to repeat
        elif live.spoilt or not self._settled(golden, number, tensors):
            self._forget(number)
        else:
            self._golden[number] = golden
            if not golden.draws:
                golden.generators = None
            for last in self._golden[max(number - 1, 0) : number]:
                shared = last is not None and golden.share(last)
                if not (shared or self.kept.reserve(OF_A_CALL * len(golden.calls))):
                    self._golden[number] = None
                    self._forget(number)
        return output

    def _settled(self, golden: GoldenForward, number: int, tensors: Tensors) -> bool:
        """Leave out what keeps state or is in train mode; False if that is not possible."""
        assert self._seen is not None
        owner = self._seen.owner
        stateful = self._state.differing(tensors, by_value=True)
        if stateful is None:
            return False
        training = {owner[module] for module in golden.training} & {*golden.begun}
        self.repeats = self.repeats and not (stateful or golden.draws)
        left_out = golden.without({owner[module] for module in stateful} | training)
        for module in left_out or ():
            if self.kept.find(number, module) is not None:
                self.kept.drop(number, module)
        return left_out is not None

    def _replayed(self, number: int, arguments: Arguments, run: Run, args: Any, kwargs: Any) -> Any:
        golden = self._golden[number] if number < len(self._golden) else None
        if number == 0:
            self._as_before = attributes(self._state.modules) == self._attributes
        if golden is None or not self._as_before:
            return run(*args, **kwargs)
        self.seconds += golden.seconds
        device = device_of(arguments.tensors)
        same = golden.key.equals(arguments) and golden.context == context(device)
        if golden.draws:
            same = same and generators(device) == golden.generators
        changed = self._changed(golden) if same else None
        if changed is None or golden.spread(changed):
            return run(*args, **kwargs)
        assert self._seen is not None
        live = self._live = LateStart(golden, number, self.kept, changed, self._seen.quiet)
        live.begin(arguments.tensors)
        try:
            return run(*args, **kwargs)
        finally:
            self.skipped += live.skipped

    def _changed(self, golden: GoldenForward) -> Optional[List[int]]:
        """Calls that may give something else than in the golden run, ascending; None if it is not
        known which."""
        assert self._seen is not None
        owner, places = self._seen.owner, []
        looked_at = self._looked_at(golden)
        differing = self._state.differing(golden.tensors, by_value=False, places=looked_at)
        if differing is None:
            return None
        for module in {owner[one] for one in differing | (golden.training ^ self._training())}:
            if module not in golden.begun:
                return None
            places += golden.begun[module]
        places += [place for place, exposed, width in golden.uses if exposed.maps.is_hit(width)]
        return sorted(set(places))

    def _training(self) -> Set[nn.Module]:
        return {module for module in self._state.modules if module.training}

    def give_up(self) -> None:
        """Reuse nothing in this campaign."""
        self._off = True
        self.kept = Kept(0)
        self._golden = []

    def _forget(self, number: int) -> None:
        for module in self.kept.of_forward(number):
            self.kept.drop(number, module)


def _shared(last: Optional[Tensors], place: int, value: torch.Tensor) -> bool:
    return last is not None and last.values.get(place) is value
