"""Outputs of the golden run that are kept, within a budget of bytes."""

from __future__ import annotations

from typing import Callable, Dict, Hashable, List, Optional, Tuple

import torch
from torch import nn

from .same_bits import copied, counted_copies, memory_of, version

Tensors = Tuple[torch.Tensor, ...]
Key = Tuple[int, nn.Module]  # the forward of the evaluation, and the module


class Output:
    """The tensors that a module gave in one forward of the golden run.

    ``lent``: later code may write into them, so that copies of them are given out.
    """

    def __init__(self, tensors: Tuple[torch.Tensor, ...], single: bool, lent: bool) -> None:
        self.tensors, self.single, self.lent = tensors, single, lent
        self._versions = [version(tensor) for tensor in tensors]
        self.memory = dict(memory_of(tensor) for tensor in tensors)

    @property
    def intact(self) -> bool:
        """Whether nobody has written into the tensors since."""
        return [version(tensor) for tensor in self.tensors] == self._versions

    def given(self) -> Tuple[torch.Tensor, ...]:
        """What a module gives in place of its own output."""
        return copied(self.tensors) if self.lent else self.tensors


class Kept:
    """Outputs by forward and module. Memory that several of them share counts once.

    ``limit`` in bytes; ``used`` never exceeds it, and ``peak`` is the most that it was.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.peak = limit, 0, 0
        self._outputs: Dict[Key, Output] = {}
        self._memory: Dict[Hashable, List[int]] = {}  # bytes, and how many outputs lie there
        self._gain: Dict[nn.Module, Tuple[float, int]] = {}
        self._forwards: Dict[nn.Module, List[int]] = {}
        self._banned: Dict[nn.Module, None] = {}

    def __len__(self) -> int:
        return len(self._outputs)

    def reserve(self, nbytes: int) -> bool:
        """Take so many bytes for something else than outputs; False if they are not there."""
        if self.used + nbytes > self.limit:
            return False
        self._count(nbytes)
        return True

    def release(self, nbytes: int) -> None:
        """Give back what was reserved."""
        self._count(-nbytes)

    def wants(self, module: nn.Module) -> bool:
        """Whether an output of ``module`` could still be kept."""
        return module not in self._banned

    def add(self, forward: int, module: nn.Module, output: Output, gain: float) -> bool:
        """Keep an output that saves ``gain`` seconds; for want of room, the module that saves least
        a byte is given up, in all forwards. Whether this one is kept."""
        nbytes = sum(output.memory.values())
        if not self._room_for(module, gain, nbytes, lambda: self._more(output)):
            return False
        self._put(forward, module, output)
        return True

    def add_copy(
        self, forward: int, module: nn.Module, tensors: Tensors, single: bool, gain: float
    ) -> bool:
        """As :meth:`add`, of a copy, which is made once there is room for it."""
        several = {id(tensor): tensor for tensor in tensors}.values()
        nbytes = sum(tensor.numel() * tensor.element_size() for tensor in several)
        if not self._room_for(module, gain, nbytes, lambda: nbytes):
            return False
        self._put(forward, module, Output(counted_copies(tensors), single, lent=True))
        return True

    def _room_for(
        self, module: nn.Module, gain: float, nbytes: int, more: Callable[[], int]
    ) -> bool:
        gained, of = self._gain.get(module, (0.0, 0))
        self._gain[module] = (gained + gain, of + nbytes)
        while self.used + more() > self.limit:
            rivals = {**self._forwards, module: []}
            weakest = min(rivals, key=self._density)
            if len(rivals) == 1:  # it stays for the forwards that it is kept of
                return False
            self.give_up(weakest)
            if weakest is module:
                return False
        return True

    def _put(self, forward: int, module: nn.Module, output: Output) -> None:
        self._count(self._more(output))
        for name, size in output.memory.items():
            self._memory.setdefault(name, [size, 0])[1] += 1
        self._outputs[forward, module] = output
        self._forwards.setdefault(module, []).append(forward)

    def find(self, forward: int, module: nn.Module) -> Optional[Output]:
        """What is kept, if nobody has written into it since."""
        output = self._outputs.get((forward, module))
        if output is not None and not output.intact:
            self.drop(forward, module)
            return None
        return output

    def give_up(self, module: nn.Module) -> None:
        """Keep nothing of ``module``, in any forward, from now on."""
        self._banned[module] = None
        for forward in list(self._forwards.get(module, ())):
            self.drop(forward, module)

    def drop(self, forward: int, module: nn.Module) -> None:
        """Forget one output."""
        output = self._outputs.pop((forward, module))
        self._forwards[module].remove(forward)
        if not self._forwards[module]:
            del self._forwards[module]
        for name in output.memory:
            entry = self._memory[name]
            entry[1] -= 1
            if not entry[1]:
                del self._memory[name]
                self._count(-entry[0])

    def of_forward(self, forward: int) -> List[nn.Module]:
        """Modules of which something is kept in one forward."""
        return [module for number, module in self._outputs if number == forward]

    def _density(self, module: nn.Module) -> float:
        gain, nbytes = self._gain[module]
        return gain / max(nbytes, 1)

    def _more(self, output: Output) -> int:
        return sum(size for name, size in output.memory.items() if name not in self._memory)

    def _count(self, nbytes: int) -> None:
        self.used += nbytes
        self.peak = max(self.peak, self.used)
