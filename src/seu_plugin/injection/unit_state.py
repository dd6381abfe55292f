"""What a module has besides its inputs, and changes besides its output: tensors, attributes, and
the generators of random numbers."""

from __future__ import annotations

import random
from typing import Any, Collection, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
import torch
from torch import nn

from .same_bits import counted_copies, form, is_plain, same_bits, version

_LEFT_OUT = {"_parameters", "_buffers", "_modules", "training", "forward"}


def generators(device: torch.device) -> Tuple[Any, ...]:
    """The state of every global generator that a forward on ``device`` could draw from."""
    name, keys, *place = np.random.get_state()
    found: List[Any] = [random.getstate(), (name, np.asarray(keys).tobytes(), *place)]
    found.append(torch.get_rng_state().numpy().tobytes())
    if device.type == "cuda":
        found.append(torch.cuda.get_rng_state(device).numpy().tobytes())
    return tuple(found)


def attributes(modules: List[nn.Module]) -> List[Dict[str, Any]]:
    """What each module holds besides tensors and modules, to be compared later: values where they
    are plain, what is in a list, a dict or a set, else which object."""
    return [
        {name: _known(value) for name, value in vars(module).items() if name not in _LEFT_OUT}
        for module in modules
    ]


class _Itself:
    """An object, equal to itself alone; held, so that no later one stands at its address."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value


def _known(value: Any, depth: int = 3) -> Any:
    if isinstance(value, (int, float, str, bytes, type(None))):
        return type(value), repr(value)
    if isinstance(value, torch.Tensor):
        return _Itself(value), version(value)
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, random.Random):
        return value.getstate()
    # The published host's quantizer makes the same dict anew in each forward
    # (quan/quantizer/lsq.py, bit_mapping).
    if depth and type(value) is dict:
        pairs = value.items()
        return dict, [(_known(key, depth - 1), _known(one, depth - 1)) for key, one in pairs]
    if depth and type(value) in (list, tuple, set):
        return type(value), [_known(one, depth - 1) for one in value]
    return _Itself(value)


#: A module, what holds a tensor of it, its name there, and the tensor.
Entry = Tuple[nn.Module, Dict[str, Any], str, torch.Tensor]


class Tensors:
    """Parameters and buffers as they were at one moment. ``values``: of buffers, by place."""

    def __init__(
        self,
        entries: List[Entry],
        marks: List[Tuple[Any, ...]],
        values: Dict[int, torch.Tensor],
    ) -> None:
        self.entries, self.marks, self.values = entries, marks, values

    def places(self, modules: Collection[nn.Module]) -> List[int]:
        """Where the tensors of some modules are."""
        return [place for place, entry in enumerate(self.entries) if entry[0] in modules]

    def is_as(self, other: Tensors) -> bool:
        """Whether values are the very ones of ``other``, and nothing was written to since."""
        same = (value is other.values.get(place) for place, value in self.values.items())
        return self.marks == other.marks and all(same)


class ModelState:
    """Watches the parameters and buffers of a model: by version and, of buffers, by value (those of
    a BatchNorm are put back between the runs of a campaign, and count as the same)."""

    def __init__(self, root: nn.Module) -> None:
        self.modules = list(root.modules())
        self.plain = True
        self._verified: Dict[int, Tuple[Any, torch.Tensor]] = {}

    def _entries(self) -> List[Entry]:
        return [
            (module, held, name, tensor)
            for module in self.modules
            for held in (module._parameters, module._buffers)
            for name, tensor in held.items()
            if tensor is not None
        ]

    def taken(self, last: Optional[Tensors] = None) -> Tensors:
        """The state now; values that are those of ``last`` are shared with it."""
        marks: List[Tuple[Any, ...]] = []
        values: Dict[int, torch.Tensor] = {}
        entries = self._entries()
        if last is not None and len(last.marks) != len(entries):
            last = None
        for place, (module, held, _, tensor) in enumerate(entries):
            if not is_plain(tensor) or tensor.is_inference():
                self.plain = False
                continue
            marks.append(_mark(tensor))
            if held is module._buffers:
                known = None if last is None else last.values.get(place)
                same = known is not None and last is not None and marks[-1] == last.marks[place]
                same = same or (known is not None and same_bits(known, tensor))
                values[place] = known if known is not None and same else counted_copies([tensor])[0]
        found = Tensors(entries, marks, values)
        return last if last is not None and found.is_as(last) else found

    def differing(
        self, then: Tensors, by_value: bool, places: Optional[Sequence[int]] = None
    ) -> Optional[Set[nn.Module]]:
        """Modules whose tensors are not what they were ``then``; None if others are there.

        ``by_value``: compare buffers also where no version says that they were written to.
        ``places``: look at these alone.
        """
        if places is None:
            if len(self._entries()) != len(then.entries):
                return None
            places = range(len(then.entries))
        asked: List[Tuple[int, nn.Module, torch.Tensor]] = []
        found: Set[nn.Module] = set()
        for place in places:
            module, held, name, _ = then.entries[place]
            tensor = held.get(name)
            if tensor is None:
                found.add(module)
                continue
            mark, known = _mark(tensor), then.values.get(place)
            if mark == then.marks[place] and (known is None or not by_value):
                continue
            then_mark, then_known = self._verified.get(place, (None, None))
            if not by_value and then_mark == mark and then_known is known:
                continue
            if known is None or not is_plain(tensor):
                found.add(module)
            else:
                asked.append((place, module, tensor))
        pairs = [(tensor, then.values[place]) for place, _, tensor in asked]
        together = _same_together(pairs)
        for (place, module, tensor), (_, known) in zip(asked, pairs):
            if together or same_bits(known, tensor):
                self._verified[place] = (_mark(tensor), known)
            else:
                found.add(module)
        return found


def _mark(tensor: torch.Tensor) -> Tuple[Any, ...]:
    return id(tensor), tensor.data_ptr(), version(tensor)


def _same_together(pairs: List[Tuple[torch.Tensor, torch.Tensor]]) -> bool:
    """Whether all pairs are the same, asked at once: many are small, and a GPU is waited for."""
    by_kind: Dict[Tuple[Any, ...], List[Tuple[torch.Tensor, torch.Tensor]]] = {}
    for one, other in pairs:
        if form(one) != form(other) or not one.is_contiguous():
            return False
        by_kind.setdefault((one.dtype, one.device), []).append((one, other))
    with torch.no_grad():
        joined = (
            [torch.cat([tensor.detach().reshape(-1) for tensor in side]) for side in zip(*several)]
            for several in by_kind.values()
        )
        return all(same_bits(one, other) for one, other in joined)
