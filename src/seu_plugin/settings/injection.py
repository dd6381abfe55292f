"""What a :class:`~seu_plugin.FaultInjector` is told: validated, frozen. No torch."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, Mapping, Optional, Tuple, Union

from pydantic import (
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from ..faults.fault_list import Fault
from ..faults.fault_list import faults as listed_faults
from ..faults.mechanisms import (
    MODES,
    PLACED,
    AsymmetricRates,
    ClusterSettings,
)
from ..faults.rates import Rate
from ..faults.seeding import SEED_LIMIT
from ..faults.upset_rate import relaxation
from ..fields import (
    BitSelection,
    Frozen,
    LayerSelection,
    OneOrMany,
    bit_positions,
    integer,
    number,
    several,
    shown,
)
from ..memory.codecs import CODECS
from ..memory.layout import MemorySettings
from ..memory.protection import Rules
from .rates import with_ber_of_rate

#: What can be exposed. Sources: weights and activations are the host's QuanConv2d, QuanLinear
#: (quan/func.py) codes; the others are float32 words.
TARGETS = ("weights", "activations", "step_sizes", "batch_norm", "biases")
_KEYS_OF_MODES = {
    "stuck_at": "stuck_at",
    "asymmetric": "asymmetric",
    "mbu": "mbu",
    "upsets": "exact_count",
    "faults": "fault_list",
}
_SWITCHES = ("enable_in_training", "enable_in_inference", "enable_in_search")


class InjectionSettings(Frozen):
    """What :class:`~seu_plugin.FaultInjector` and the section have in common."""

    mode: Literal[MODES] = Field(  # type: ignore[valid-type]
        "ber",
        description="fault model. ber: each bit flips with probability ber; stuck_at: each cell is "
        "stuck; asymmetric: 0 and 1 are upset at different rates; mbu: clusters of neighbouring "
        "cells; exact_count: so many upsets anywhere; fault_list: those that faults lists",
    )
    ber: float = Field(
        ge=0.0, le=1.0, description="bit error rate: probability of an upset of each stored bit"
    )
    rate: Optional[Rate] = Field(
        None,
        description="in place of ber: a physical rate, stated or counted in a test, and an "
        "exposure; ber = (1 - exp(-2 * rate * exposure)) / 2",
    )
    stuck_at: Literal[0, 1, "random"] = Field(
        "random", description="of mode stuck_at: the value; random: 0 or 1 for each cell"
    )
    asymmetric: AsymmetricRates = Field(
        AsymmetricRates(), description="of mode asymmetric: the two rates"
    )
    mbu: Optional[ClusterSettings] = Field(
        None, description="of mode mbu: the clusters; ber is the expected number of upsets a bit"
    )
    upsets: StrictInt = Field(
        1,
        ge=1,
        lt=1 << 32,
        description="of mode exact_count: upsets in the selected sites together",
    )
    faults: Optional[Union[StrictStr, Tuple[Fault, ...]]] = Field(
        None,
        description="of mode fault_list: a file, CSV (site,word,bit) or JSON lines, or the list",
    )
    memory: MemorySettings = Field(
        MemorySettings(), description="where bits lie, for clusters and protection"
    )
    protection: Annotated[Rules, OneOrMany()] = Field(
        (), description="codes that guard the memory; the first rule that names a site holds"
    )
    targets: Annotated[Tuple[Literal[TARGETS], ...], OneOrMany()] = Field(  # type: ignore[valid-type]
        ("weights",),
        min_length=1,
        description="what is exposed, of the selected layers: codes of "
        "weights and activations; float32 words of step sizes, BatchNorm and biases",
    )
    seed: Optional[StrictInt] = Field(
        None, ge=0, lt=SEED_LIMIT, description="null: drawn from the operating system, reported"
    )
    device: Optional[StrictStr] = Field(
        None, description="where codes are flipped; null: where the weight is"
    )
    enable_in_training: StrictBool = Field(False, description="inject in train mode")
    enable_in_inference: StrictBool = Field(True, description="inject in eval mode")
    quantizer: Optional[StrictStr] = Field(
        None,
        description="whose layers are sites: rfquant, torch.ao, ...; null: every adapter's. float: "
        "weights of layers without a quantizer, as words of IEEE 754",
    )
    layers: LayerSelection = Field(LayerSelection(), description="which sites are exposed")
    bits: BitSelection = Field(
        "all", description="bit positions exposed: all, msb, lsb or a list; 0 = least significant"
    )
    encoding: Literal[tuple(CODECS)] = Field(  # type: ignore[valid-type]
        "twos_complement", description="how codes lie in memory"
    )
    persistence: Literal["auto", "static", "per_forward"] = Field(
        "auto",
        description="static: one map from enable to disable; per_forward: a new map for each "
        "forward of the model; auto: static in eval mode, per_forward in train mode",
    )
    bn_calibration: Literal["clean", "faulty", "both"] = Field(
        "clean",
        description="weights that BatchNorm calibration sees; both: evaluate under either, report "
        "the difference, give the host the one calibrated clean",
    )
    trial: StrictInt = Field(0, ge=0, lt=SEED_LIMIT, description="which draw of the seed")
    weight_cache: StrictBool = Field(
        True,
        description="keep each site's quantized weight while nothing changes it, instead of "
        "quantizing again in every forward; costs one copy of the weights",
    )

    @model_validator(mode="before")
    @classmethod
    def _ber_of_rate(cls, values: Any) -> Any:
        if "mode" not in values and values.get("faults") is not None:
            values = {**values, "mode": "fault_list"}
        mode, rate, ber = (values.get(key) for key in ("mode", "rate", "ber"))
        if mode in PLACED and ber is None and rate is None:
            return {**values, "ber": 0.0}
        return values if rate is None else with_ber_of_rate(values)

    @field_validator("faults", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return listed_faults(value)
        if value is None or isinstance(value, (str, os.PathLike)):
            return value if value is None else os.fspath(value)
        raise ValueError("must be a file, or a list of faults")

    @field_validator("protection", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return () if value is None else (value,) if isinstance(value, Mapping) else value

    @field_validator("stuck_at", mode="before")
    @classmethod
    def _not_a_bool(cls, value: Any) -> Any:
        if value in ("0", "1"):
            return int(value)
        return str(value).lower() if isinstance(value, bool) else value  # True == 1: say no to it

    @field_validator("targets", mode="before")
    @classmethod
    def _target(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("targets")
    @classmethod
    def _distinct(cls, value: Any) -> Any:
        if len(set(value)) != len(value):
            raise ValueError("must be distinct")
        return value

    @model_validator(mode="after")
    def _of_mode(self) -> InjectionSettings:
        for key, mode in _KEYS_OF_MODES.items():
            default = InjectionSettings.model_fields[key].default
            if self.mode != mode and getattr(self, key) != default:
                raise ValueError(f"{key} is for mode {mode}; the mode is {self.mode}")
        if self.mode == "mbu" and self.mbu is None:
            raise ValueError("mode mbu needs mbu, for example mbu: {sizes: {1: 0.9, 2: 0.1}}")
        if self.mode in PLACED and self.ber > 0.0:
            what = "upsets" if self.mode == "exact_count" else "faults"
            raise ValueError(f"mode {self.mode} has {what} in place of ber")
        if self.mode == "fault_list":
            self._check_list()
        if self.quantizer == "float" and self.encoding != "twos_complement":
            raise ValueError(f"encoding: {self.encoding} is of codes; quantizer float has none")
        check_rates(self.mode, self.asymmetric, self.ber)
        if self.protection and "weights" not in self.targets:
            raise ValueError("protection is for weights, which targets leaves out")
        if self.mode == "exact_count" and any(rule.scheme != "none" for rule in self.protection):
            raise ValueError(
                "protection is for rates: mode exact_count places upsets in data bits alone"
            )
        if self.targets != ("weights",) and self.mode in ("mbu", *PLACED):
            raise ValueError(f"targets: mode {self.mode} is for weights only")
        return self

    def _check_list(self) -> None:
        if self.faults is not None and not self.faults:
            raise ValueError("faults: the list has no fault; name at least one, or leave mode out")
        if self.faults is None:
            raise ValueError(
                "mode fault_list needs faults, a file or a list, for example "
                "[{site: conv1, word: 812, bit: 3}]"
            )
        if self.persistence == "per_forward":
            raise ValueError(
                "persistence: of mode fault_list is static, one map for all forwards; received "
                "'per_forward'"
            )
        if self.bits != "all":
            raise ValueError(
                f"bits: mode fault_list upsets the bits that it lists; received {shown(self.bits)}:"
                " remove the key"
            )

    @property
    def amount(self) -> str:
        """How many upsets are asked for, in words."""
        if self.mode == "exact_count":
            return several(self.upsets, "upset")
        if self.mode == "fault_list":
            if self.faults is None or isinstance(self.faults, str):
                return "the listed upsets"
            return several(len(self.faults), "listed upset")
        return f"BER {self.ber:g}"

    @property
    def relaxation(self) -> float:
        """How a physical rate makes a BER: :func:`~seu_plugin.faults.upset_rate.relaxation`."""
        return relaxation(self.mode, self.asymmetric, self.mbu)

    @property
    def injects(self) -> bool:
        """Whether upsets are asked for."""
        return self.ber > 0.0 or self.mode in PLACED

    @field_validator("ber", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return number(value, "must be a number in [0, 1], for example 1e-6")

    @field_validator("seed", "trial", "upsets", mode="before")
    @classmethod
    def _integer(cls, value: Any) -> Any:
        return integer(value)

    _positions = field_validator("bits", mode="before")(bit_positions)

    @model_validator(mode="after")
    def _somewhere(self) -> InjectionSettings:
        enabled = getattr(self, "enabled", True)
        switches = [name for name in _SWITCHES if hasattr(self, name)]
        if enabled and not any(getattr(self, name) for name in switches):
            raise ValueError(f"nothing to inject into: {', '.join(switches)} are all false")
        return self


def check_rates(mode: str, rates: AsymmetricRates, ber: float) -> None:
    """Raise ValueError if the rates at ``ber`` are no probabilities."""
    highest = max(rates.zero_to_one, rates.one_to_zero)
    if mode == "asymmetric" and ber * highest > 1.0:
        raise ValueError(f"asymmetric: ber {ber:g} times {highest:g} is more than 1")
