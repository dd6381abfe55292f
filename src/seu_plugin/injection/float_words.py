"""float32 words under exposure: step sizes, BatchNorm, biases. Their bits are those of IEEE 754.

A tensor is replaced by one with upsets while the module that uses it runs, and put back after.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from torch import nn

from ..errors import SiteError
from ..faults.cell_map import CellMap
from ..faults.fault_map import FaultMap, popcount
from ..faults.seeding import Stream, Streams
from ..faults.site_memory import ReadMap, SiteMemory
from ..quantizers.contract import Site, StepWords
from ..quantizers.names import named_modules
from .forward_state import ForwardState
from .statistics import Counter, SiteStatistics

#: A word is drawn as two halves, the lower one first: fault maps have at most 16 bits a word.
HALVES, HALF_BITS = 2, 16
#: Tensors of a BatchNorm, and whether they are read in eval mode only.
_BATCH_NORM = {"weight": False, "bias": False, "running_mean": True, "running_var": True}


class ExposedWords:
    """Some float32 words of a module, by the name of the tensor in it."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        tensor: str,
        state: ForwardState,
        eval_only: bool = False,
    ) -> None:
        self.name, self.module, self.tensor = name, module, tensor
        self._state = state
        self._eval_only = eval_only
        self.start_trial()

    def start_trial(self) -> None:
        self.counter = Counter(self.name)
        self._drawn: Dict[Tuple[int, int], ReadMap] = {}
        self._counted: Dict[Tuple[int, int], None] = {}

    @property
    def holder(self) -> Dict[str, Any]:
        """Where the module keeps the tensor."""
        module = self.module
        return module._parameters if self.tensor in module._parameters else module._buffers

    @property
    def exposed(self) -> bool:
        """Whether upsets are read now: not in a golden run, say."""
        training = self.module.training
        return not (self._eval_only and training) and self._state.exposes(training)

    @property
    def injects(self) -> bool:
        """Whether upsets are asked for now."""
        return self._state.settings.injects

    def statistics(self) -> SiteStatistics:
        settings = self._state.settings
        return self.counter.frozen(settings.ber, settings.mode)

    def check(self) -> None:
        """Nothing is left to be asked."""

    def faulted(self, part: Optional[int] = None) -> Optional[torch.Tensor]:
        """The tensor (of ``part``: with that element alone under exposure) as it is read now; None
        if nothing in it is upset or it is not exposed. Waits for a GPU that holds it."""
        if not self.exposed:
            return None
        clean, training = self.holder[self.tensor], self.module.training
        if clean.dtype is not torch.float32:
            raise SiteError(f"{self.name}: has {clean.dtype}; only float32 words can be exposed")
        chosen = slice(None) if part is None else slice(part, part + 1)
        words = clean.detach().reshape(-1)[chosen]
        draw = self._state.exposure_draw(self.name, training)
        found = self._map(int(words.numel()), draw, part or 0)
        if found.harmless:
            return None
        halves = words.cpu().contiguous().clone().numpy().view(np.uint16)
        stored = halves[found.map.index].astype(np.int32)
        if isinstance(found.map, FaultMap):
            flips = found.map.mask
        else:
            assert isinstance(found.map, CellMap)
            flips = found.map.flips(stored)
        halves[found.map.index] = (stored ^ flips).astype(np.uint16)
        read = torch.from_numpy(halves.view(np.float32))
        self._count(found, flips, read, draw, part or 0)
        if not flips.any():
            return None
        whole = clean.detach().reshape(-1).clone()
        whole[chosen] = read.to(clean.device)
        replaced: torch.Tensor = _Replaced.apply(clean, whole.view_as(clean))  # type: ignore[no-untyped-call]
        return replaced

    def _map(self, words: int, draw: int, part: int) -> ReadMap:
        key = (draw, part)
        if key not in self._drawn:
            if not self._state.is_static(self.module.training):
                self._drawn.clear()
                self._counted.clear()
            settings, seed = self._state.settings, self._state.seed
            # Codes' rules are not for these words, and they have all their bits.
            plain = settings.model_copy(update={"protection": (), "bits": "all"})
            name = f"{self.name}#{part}" if part else self.name
            memory = SiteMemory(name, HALVES * words, HALF_BITS, plain)
            at = (seed, name, settings.trial, draw)
            found = memory.draw(settings.ber, Stream(*at), Streams(*at))
            self._drawn[key] = found
            self.counter.maps += 1
            self.counter.words += words
            self.counter.bits += HALVES * HALF_BITS * words
            self.counter.widths[32] = None
            self.counter.note(found.drawn)
        self.counter.forwards += 1
        return self._drawn[key]

    def _count(self, found: ReadMap, flips: Any, read: torch.Tensor, draw: int, part: int) -> None:
        if (draw, part) in self._counted:
            return
        self._counted[draw, part] = None
        upsets = popcount(flips)
        hit = len(np.unique(found.map.index[flips != 0] // HALVES))
        self.counter.add(upsets, upsets, hit, 0, 0)
        self.counter.nan_inf += int((~torch.isfinite(read)).sum())


class _Replaced(torch.autograd.Function):
    """Another value; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, clean: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return grad, None


@contextmanager
def replaced(words: List[ExposedWords], part: Optional[int] = None) -> Iterator[None]:
    """While inside, the module that owns ``words`` reads them under their upsets."""
    before: List[Tuple[Dict[str, Any], str, Any]] = []
    try:
        for one in words:
            value = one.faulted(part)
            if value is not None:
                holder = one.holder
                before.append((holder, one.tensor, holder[one.tensor]))
                holder[one.tensor] = value
        yield
    finally:
        for holder, name, value in reversed(before):
            holder[name] = value


def batch_norm_words(model: nn.Module, state: ForwardState) -> Dict[nn.Module, List[ExposedWords]]:
    """Weight, bias and running statistics of every BatchNorm. Raises SiteError if there is none."""
    found: Dict[nn.Module, List[ExposedWords]] = {}
    for name, module in named_modules(model):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            found[module] = [
                ExposedWords(f"{name}.{tensor}", module, tensor, state, eval_only)
                for tensor, eval_only in _BATCH_NORM.items()
                if getattr(module, tensor, None) is not None
            ]
    if not found:
        raise SiteError("targets: batch_norm, but the model has no BatchNorm")
    return found


def bias_words(sites: Tuple[Site, ...], state: ForwardState) -> Dict[str, ExposedWords]:
    """The biases of the sites' layers. Raises SiteError if none has one."""
    found = {
        site.name: ExposedWords(f"{site.name}.bias", site.layer, "bias", state)
        for site in sites
        if getattr(site.layer, "bias", None) is not None
    }
    if not found:
        raise SiteError("targets: biases, but no selected layer has a bias")
    return found


class WeightStepSize:
    """The step size of a weight: memory holds codes, which are read times the wrong step."""

    def __init__(self, site: Site, state: ForwardState) -> None:
        self._at = site.step_words()
        self.words = step_size_words(site, self._at, state)

    def rescaled(self, weight: torch.Tensor, site: Site, width: int) -> torch.Tensor:
        """``weight``, code by code, times the step size that is read now."""
        step = site.grid(width).scale
        with replaced([self.words], self._at.part(width)):
            wrong = site.grid(width).scale
        if torch.equal(step, wrong):
            return weight
        value = (weight.detach() / step).round() * wrong
        read: torch.Tensor = _Replaced.apply(weight, value)  # type: ignore[no-untyped-call]
        return read


def step_size_words(site: Site, at: StepWords, state: ForwardState) -> ExposedWords:
    """The step sizes of a site's weight or activation quantizer."""
    return ExposedWords(f"{site.name}.{at.name}", at.module, at.tensor, state)
