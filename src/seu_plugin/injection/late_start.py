"""One forward of a trial: what does not differ from the golden run is not computed again."""

from __future__ import annotations

import threading
from typing import Any, Callable, Optional, Sequence, Set, Tuple

import torch
from torch import nn

from .golden_forward import Call, GoldenForward, Names, crossed
from .kept import Kept, Output
from .same_bits import Arguments, outputs_of, same_bits, version

Run = Callable[..., Any]
#: Outputs that are compared after an upset: one that was not masked by then has spread.
TRIES = 12


class LateStart:
    """Calls of a trial, next to those of the golden forward with the same input.

    ``changed``: the calls that may give something else, ascending: their words are upset, or their
    tensors differ. All before the first of them sees golden values, since the same code runs on
    them (late start). After it, a call whose inputs are known to be golden gives the golden output,
    and the output of one that was computed is known to be golden if it has the bits of the one that
    is kept (early stop; not in inference mode, where nobody counts what is written to a tensor).
    ``skipped``: seconds of the golden run that were not spent again.
    """

    def __init__(
        self,
        golden: GoldenForward,
        number: int,
        kept: Kept,
        changed: Sequence[int],
        quiet: Callable[[nn.Module], bool],
    ) -> None:
        self._golden, self._number, self._kept = golden, number, kept
        self._changed, self._quiet = changed, quiet
        self._first = changed[0] if changed else None
        self._names, self._position = Names(), 0
        self._thread = threading.get_ident()
        self._called: Set[nn.Module] = set()
        self._over = False
        self._tries = TRIES
        self.skipped = 0.0

    def begin(self, tensors: Sequence[torch.Tensor]) -> None:
        for place, tensor in enumerate(tensors):
            self._names.give(tensor, (-1, place))

    def call(self, module: nn.Module, run: Run, args: Any, kwargs: Any) -> Any:
        """What ``module`` gives: the golden output, or what it computes."""
        call = self._golden.calls.get(module)
        if self._over or call is None:
            return run(*args, **kwargs)
        changed = crossed(self._changed, call)
        if not (self._tries or changed or self._sees_any(args)):
            self._over = not self._in_order(module, call)
            return run(*args, **kwargs)
        arguments = Arguments(args, kwargs)
        if arguments.form != call.form or not self._in_order(module, call):
            self._over = True
            return run(*args, **kwargs)
        same = not changed and self._sees_golden(call, arguments)
        kept = self._kept.find(self._number, module) if call.pure else None
        if same and kept is not None and self._quiet(module):
            return self._given_back(call, kept)
        output = run(*args, **kwargs)
        self._position = max(self._position, call.end)
        if changed and call.end == call.begin + 1:
            self._tries = TRIES
        if not self._over and (call.repeatable or (same and self._precedes(call))):
            self._note(call, output, same, kept)
        return output

    def _in_order(self, module: nn.Module, call: Call) -> bool:
        """As in the golden run, once, and in its thread."""
        if threading.get_ident() != self._thread or module in self._called:
            return False
        if call.begin < self._position:
            return False
        self._called.add(module)
        self._position = call.begin + 1
        return True

    def _sees_any(self, args: Tuple[Any, ...]) -> bool:
        """Whether an input may be known to be golden."""
        return any(self._names.of(value) is not None for value in args) or not args

    def _sees_golden(self, call: Call, arguments: Arguments) -> bool:
        named = [self._names.of(tensor) for tensor in arguments.tensors]
        if self._precedes(call):
            return all(was in (None, now) for was, now in zip(call.inputs, named))
        return None not in named and named == call.inputs

    def _precedes(self, call: Call) -> bool:
        """Whether it is over before anything may be changed."""
        return self._first is None or call.end <= self._first

    def _given_back(self, call: Call, kept: Output) -> Any:
        for _, exposed, width in self._golden.uses_in(call):
            exposed.pass_over(width)
        given = kept.given()
        self._name(call, given)
        self._position = call.end
        self.skipped += self._golden.spent(call)
        return given[0] if kept.single else given

    def _note(self, call: Call, output: Any, same: bool, kept: Optional[Output]) -> None:
        tensors = outputs_of(output)
        if not tensors or len(tensors) != len(call.outputs):
            return
        if None in [version(tensor) for tensor in tensors]:
            return
        if tensors[0].device.type != "cpu" and call.end == call.begin + 1:
            kept = None  # to ask makes the device wait: only blocks of several modules do
        golden = same  # also of one that writes into its input: that was golden before
        if not (same or kept is None) and self._tries and len(kept.tensors) == len(tensors):
            golden = all(same_bits(one, other) for one, other in zip(tensors, kept.tensors))
            golden = golden and kept.intact
            self._tries -= not golden
        if golden:
            self._name(call, tensors)

    def _name(self, call: Call, tensors: Tuple[torch.Tensor, ...]) -> None:
        for tensor, name in zip(tensors, call.outputs):
            self._names.give(tensor, name)
