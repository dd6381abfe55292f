"""Where a model is in its forwards: what decides whether a site is exposed, and to which map."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import torch
from torch import nn

from ..errors import InjectionError
from ..memory.codecs import codec
from ..settings.injection import InjectionSettings


class ForwardState:
    """What all sites of an injector share: where the model is in its forwards.

    ``draw`` is the exposure draw of the current forward. It moves on with the first site that
    a forward of the root model exposes to a new map, and stays for the whole forward and for
    its recomputation in backward (activation checkpointing).
    """

    def __init__(
        self,
        settings: InjectionSettings,
        seed: int,
        device: Optional[torch.device],
        exposure_draw: int,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.device = device
        self.codec = codec(settings.encoding)
        self.next_draw = self._first_draw = exposure_draw
        self.observer: Optional[Callable[[Any, Sequence[Any]], None]] = None
        #: Told of each use of a clean weight under an observer: the site, and the width.
        self.used: Optional[Callable[[Any, int], None]] = None
        self.suspensions = 0
        self._lock = threading.RLock()
        self._root: Optional[nn.Module] = None
        self._norms: List[nn.Module] = []
        self.reset()

    def reset(self) -> None:
        self.draw: Optional[int] = None
        self.trained = False
        self.used_clean: Dict[str, None] = {}  # an ordered set
        self._new_forward = False
        self._forwards = 0
        self._calibrating = self._calibrates = False
        self._depth = 0
        self._with_gradient = False
        self._recompute_draw: Optional[int] = None  # of the last forward with gradients
        self._awaiting_backward = 0  # forwards that a recomputation could belong to
        self._recomputed = False

    def start_trial(self, settings: InjectionSettings) -> None:
        """Other settings hold from the next forward on."""
        self.settings = settings
        self.next_draw = self._first_draw
        self.reset()

    @property
    def calibrating(self) -> bool:
        """Whether the forward that runs now calibrates BatchNorm, under faults or not."""
        return self._calibrates

    def watch(self, root: nn.Module) -> None:
        """``root`` is the module whose forwards count."""
        self._root = root
        self._norms = [m for m in root.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    @contextmanager
    def root_forward(self) -> Iterator[None]:
        if self._depth == 0:
            self._new_forward = True
            self._forwards += 1
            self._calibrates = self._is_calibration()
            self._calibrating = self._calibrates and self.settings.bn_calibration == "clean"
            # Asked here: inside a reentrant checkpoint gradients are off.
            self._with_gradient = torch.is_grad_enabled()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._calibrating = self._calibrates = False

    @property
    def outermost(self) -> bool:
        """Whether the forward that runs now is one of the root, not one inside it."""
        return self._depth == 1

    def _is_calibration(self) -> bool:
        # The host calibrates BatchNorm with the model in eval mode and its BatchNorms alone
        # in train mode (util/utils.py, reset_batchnorm_stats).
        if self._root is None or self._root.training:
            return False
        return any(norm.training for norm in self._norms)

    def exposes(self, training: bool) -> bool:
        """Whether a site used now, by a layer in this mode, is to be faulted."""
        if self._depth == 0:  # a part of the model was called
            clean = self.settings.bn_calibration == "clean"
            self._calibrating = clean and self._is_calibration()
        if self.suspensions or self._calibrating:
            return False
        if training:
            return self.settings.enable_in_training
        return self.settings.enable_in_inference

    def note_clean(self, training: bool) -> None:
        """Remember why a site was used and not faulted."""
        if self.suspensions:
            self.used_clean["under suspension"] = None
        elif self._calibrating:
            self.used_clean["in clean BatchNorm calibration"] = None
        else:
            self.used_clean["in train mode" if training else "in eval mode"] = None

    def is_static(self, training: bool) -> bool:
        persistence = self.settings.persistence
        return persistence == "static" or (persistence == "auto" and not training)

    def expected_draw(self, training: bool) -> int:
        """What :meth:`exposure_draw` will say in the forward of the root that begins now."""
        if self.is_static(training):
            return 0
        return self.next_draw if self._new_forward or self.draw is None else self.draw

    def exposure_draw(self, name: str, training: bool) -> int:
        """The exposure draw of the map that holds now; 0 while maps are static."""
        if self.is_static(training):
            return 0
        with self._lock:
            return self._drawn(name)

    def _drawn(self, name: str) -> int:
        if self._depth == 0:
            return self._draw_outside(name)
        if self._new_forward or self.draw is None:
            self._new_forward = False
            self.draw = self.next_draw
            self.next_draw += 1
            if self._with_gradient:
                if self._recomputed:
                    self._recomputed, self._awaiting_backward = False, 0
                self._awaiting_backward += 1
                self._recompute_draw = self.draw
        return self.draw

    def activation_draw(self, name: str, training: bool) -> int:
        """As :meth:`exposure_draw`, but for what no memory holds from forward to forward: another
        one for each forward of the root while maps are static, too."""
        return self._forwards if self.is_static(training) else self.exposure_draw(name, training)

    def _draw_outside(self, name: str) -> int:
        """The draw for a layer that runs outside a forward of the root model: recomputed in
        backward, if the draw that it belongs to is beyond doubt."""
        self._recomputed = True
        draw = self._recompute_draw if self._recompute_draw is not None else self.draw
        if draw is None:
            raise InjectionError(
                f"layer {name!r} was called outside a forward of the model given to the "
                "injector, so 'per_forward' does not say which fault map it sees: use "
                "persistence 'static', or give the injector the model that you call"
            )
        if self._awaiting_backward > 1:
            raise InjectionError(
                f"layer {name!r} is recomputed after {self._awaiting_backward} forwards, and "
                "'per_forward' does not say which of their fault maps it sees: call backward "
                "after each forward, or use persistence 'static'"
            )
        return draw
