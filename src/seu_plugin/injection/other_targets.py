"""What is exposed besides weights, as ``targets`` says."""

from __future__ import annotations

from typing import Dict, List, Tuple, Union

from torch import nn

from ..errors import ConfigError, SiteError
from ..quantizers.storage import overlapping
from .activation_codes import ExposedActivations
from .exposure import ExposedSite
from .float_words import (
    ExposedWords,
    WeightStepSize,
    batch_norm_words,
    bias_words,
    step_size_words,
)
from .forward_state import ForwardState


class OtherTargets:
    """By site name: activation codes, step sizes of activations, biases; words of BatchNorms.

    Step sizes of weights are with their sites. Raises SiteError if a target is not there or
    two share memory, ConfigError if ``bits`` are selected, which float32 words do not have.
    """

    def __init__(self, model: nn.Module, exposed: List[ExposedSite], state: ForwardState) -> None:
        targets, bits = state.settings.targets, state.settings.bits
        floats = [t for t in targets if t not in ("weights", "activations")]
        if floats and bits != "all":
            raise ConfigError(
                f"bits: must be all for float32 words ({floats[0]}); received {bits!r}"
            )
        sites = tuple(one.site for one in exposed)
        self.activations: Dict[str, ExposedActivations] = {}
        self.step_sizes: Dict[str, ExposedWords] = {}
        self.biases: Dict[str, ExposedWords] = {}
        self.norms: Dict[nn.Module, List[ExposedWords]] = {}
        weight_steps = []
        if "activations" in targets:
            self.activations = {site.name: ExposedActivations(site, state) for site in sites}
        if "step_sizes" in targets:
            for site in sites:
                at = site.activation_step_words()
                self.step_sizes[site.name] = step_size_words(site, at, state)
            for one in exposed:
                one.step_size = WeightStepSize(one.site, state)
                weight_steps.append(one.step_size.words)
        if "biases" in targets:
            self.biases = bias_words(sites, state)
        if "batch_norm" in targets:
            self.norms = batch_norm_words(model, state)
        #: Everything exposed, by target.
        self.by_target: Dict[str, Tuple[Union[ExposedActivations, ExposedWords], ...]] = {
            "activations": tuple(self.activations.values()),
            "step_sizes": (*weight_steps, *self.step_sizes.values()),
            "biases": tuple(self.biases.values()),
            "batch_norm": tuple(word for several in self.norms.values() for word in several),
        }
        self.all = tuple(one for several in self.by_target.values() for one in several)
        words = [one for one in self.all if isinstance(one, ExposedWords)]
        shared = overlapping((one.name, one.holder[one.tensor]) for one in words)
        if shared is not None:
            raise SiteError(f"targets: {shared[0]!r} and {shared[1]!r} lie in one memory")

    def start_trial(self) -> None:
        for one in self.all:
            one.start_trial()
