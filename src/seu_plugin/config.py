"""The ``fault_injection`` section: parsed once, at the edge; frozen inside."""

from __future__ import annotations

import numbers
import re
from typing import Any, List, Literal, Mapping, Optional, Tuple, Type, TypeVar, Union

from pydantic import (
    BaseModel,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from .campaign_settings import CampaignSettings
from .codecs import CODECS
from .errors import ConfigError, did_you_mean
from .fields import Frozen, integer, number
from .seeding import SEED_LIMIT

SECTION = "fault_injection"

_SWITCHES = ("enable_in_training", "enable_in_inference", "enable_in_search")

Word = Literal["all", "msb", "lsb"]
Settings = TypeVar("Settings", bound="InjectionSettings")


class LayerSelection(Frozen):
    """Glob patterns over site names. Every pattern must match at least one site."""

    include: Tuple[StrictStr, ...] = Field(("*",), min_length=1, description="sites to expose")
    exclude: Tuple[StrictStr, ...] = Field((), description="sites to leave out of those")

    @field_validator("include", "exclude", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class BitWidthSource(Frozen):
    """A search output of the host."""

    path: StrictStr = Field(description="bit-width JSON file, relative to the working "
                            "directory or to the host's folder")  # fmt: skip
    index: StrictInt = Field(0, ge=0, description="which of its configurations")


class InjectionSettings(Frozen):
    """What :class:`~seu_plugin.FaultInjector` and the section have in common."""

    mode: Literal["ber"] = Field("ber", description="fault model: independent upsets at a BER")
    ber: float = Field(
        ge=0.0, le=1.0, description="bit error rate: probability of an upset of each stored bit"
    )
    seed: Optional[StrictInt] = Field(
        None, ge=0, lt=SEED_LIMIT, description="null: drawn from the operating system, reported"
    )
    device: Optional[StrictStr] = Field(
        None, description="where codes are flipped; null: where the weight is"
    )
    enable_in_training: StrictBool = Field(False, description="inject in train mode")
    enable_in_inference: StrictBool = Field(True, description="inject in eval mode")
    layers: LayerSelection = Field(LayerSelection(), description="which sites are exposed")
    bits: Union[Word, Tuple[StrictInt, ...]] = Field(
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

    @field_validator("ber", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return number(value, "must be a number in [0, 1], for example 1e-6")

    @field_validator("seed", "trial", mode="before")
    @classmethod
    def _integer(cls, value: Any) -> Any:
        return integer(value)

    @field_validator("bits", mode="before")
    @classmethod
    def _positions(cls, value: Any) -> Any:
        if value in ("all", "msb", "lsb"):
            return value
        if isinstance(value, (list, tuple, range)) and value:
            integral = all(isinstance(v, numbers.Integral) for v in value)
            if integral and not any(isinstance(v, bool) for v in value):
                positions = sorted({int(v) for v in value})
                if len(positions) == len(value) and positions[0] >= 0 and positions[-1] <= 15:
                    return tuple(positions)
        hint = did_you_mean(value, ("all", "msb", "lsb")) if isinstance(value, str) else ""
        raise ValueError(
            "must be all, msb, lsb or a list of distinct positions in 0 ... 15 "
            f"(0 = least significant){hint}"
        )

    @model_validator(mode="after")
    def _somewhere(self) -> InjectionSettings:
        enabled = getattr(self, "enabled", True)
        switches = [name for name in _SWITCHES if hasattr(self, name)]
        if enabled and not any(getattr(self, name) for name in switches):
            raise ValueError(f"nothing to inject into: {', '.join(switches)} are all false")
        return self


class FaultInjectionSection(InjectionSettings):
    """The whole section."""

    enabled: StrictBool = Field(True, description="false: as if the section were not there")
    enable_in_search: StrictBool = Field(
        False, description="inject while the host searches widths: fault-aware search"
    )
    bit_width_config: Optional[BitWidthSource] = Field(
        None, description="widths that validate is to evaluate; null: the host's own"
    )
    golden_run: StrictBool = Field(
        True, description="evaluate without faults first, to state what the upsets cost"
    )
    campaign: Optional[CampaignSettings] = Field(
        None, description="many trials in place of one faulted run in validate"
    )

    @model_validator(mode="before")
    @classmethod
    def _ber_of_campaign(cls, values: Any) -> Any:
        campaign = values.get("campaign")
        if campaign is None or "ber" in values or values.get("enable_in_training") is True:
            return values
        if values.get("enable_in_search") is True:  # searched at one BER, which is to be named
            return values
        return {**values, "ber": 0.0}

    @model_validator(mode="after")
    def _fits_campaign(self) -> FaultInjectionSection:
        campaign = self.campaign
        if campaign is None or not self.enabled:
            return self
        if not self.enable_in_inference:
            raise ValueError("campaign needs enable_in_inference: it evaluates trials in validate")
        if self.bn_calibration == "both":
            raise ValueError("bn_calibration: both is for one faulted run; allowed with campaign "
                             "are clean, faulty")  # fmt: skip
        if campaign.shard is not None and self.seed is None:
            raise ValueError("campaign.shard needs a seed, the same for all shards")
        return self


def parse_section(raw: Any) -> FaultInjectionSection:
    """The validated section. Raises ConfigError, one line for each mistake."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{SECTION}: must be a mapping of settings; received {raw!r}")
    if raw.get("enabled") is False:
        raw = {"ber": 0.0, **raw}  # a section that is off need not be complete
    return _parse(FaultInjectionSection, raw, SECTION)


def parse_settings(raw: Mapping[str, Any]) -> InjectionSettings:
    """The validated arguments of a FaultInjector. Raises ConfigError."""
    return _parse(InjectionSettings, raw, "FaultInjector")


def _parse(model: Type[Settings], raw: Mapping[str, Any], root: str) -> Settings:
    try:
        return model(**{str(k): v for k, v in raw.items()})
    except ValidationError as error:
        mistakes = error.errors()
        if any(e["type"] == "extra_forbidden" for e in mistakes):
            # A key is missing because it is misspelled: say so once.
            mistakes = [e for e in mistakes if e["type"] != "missing"]
        lines = [_line(model, root, e) for e in mistakes]
        raise ConfigError("\n".join(lines)) from None


#: What pydantic's kinds of mistakes mean to a writer of YAML.
_MEANING = {
    "bool_type": "must be true or false",
    "int_type": "must be an integer",
    "string_type": "must be a string",
    "model_type": "must be a mapping of settings",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
}


def _line(model: Any, root: str, error: Any) -> str:
    """One mistake: path, what is allowed, what was received, nearest name."""
    kind, received = error["type"], error.get("input")
    keys = [str(part) for part in error["loc"]]
    path = ".".join([root, *keys])
    if kind == "extra_forbidden":
        allowed = _fields(model, keys[:-1])
        return (
            f"{path}: unknown key; received {received!r}{did_you_mean(keys[-1], allowed)} "
            f"(allowed are {', '.join(allowed)})"
        )
    if kind == "missing":
        return f"{path}: required key is missing"
    message = _MEANING.get(kind, str(error["msg"])).replace("Value error, ", "", 1)
    if not keys:
        return f"{path}: {message}"
    if keys[-1] == "ber" and kind != "value_error":
        message = "must be a number in [0, 1]"
    hint = ""
    if kind == "literal_error":
        allowed = re.findall(r"'([^']+)'", str(error["ctx"]["expected"]))
        message = f"allowed are {', '.join(allowed)}"
        hint = did_you_mean(str(received), allowed)
    return f"{path}: {message[0].lower()}{message[1:]}; received {received!r}{hint}"


def _fields(model: Any, keys: List[str]) -> List[str]:
    """Keys allowed at the nested place ``keys`` of ``model``."""
    for key in keys:
        annotation = model.model_fields[key].annotation
        for option in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(option, type) and issubclass(option, BaseModel):
                model = option
    return list(model.model_fields)
