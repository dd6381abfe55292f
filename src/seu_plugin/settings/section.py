"""The ``fault_injection`` section: parsed once, at the edge; frozen inside."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar

from pydantic import (
    BaseModel,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from ..errors import ConfigError, did_you_mean
from ..faults.itinerary import Itinerary
from ..faults.mechanisms import PLACED
from ..faults.upset_rate import UpsetRate
from ..fields import Frozen, said, shown
from .ber_schedule import BerSchedule
from .campaign import GRID, CampaignSettings
from .injection import InjectionSettings, check_rates
from .missions import check_mission, environments, itinerary
from .place import SECTION as SECTION

Settings = TypeVar("Settings", bound="InjectionSettings")


class BitWidthSource(Frozen):
    """A search output of the host."""

    path: StrictStr = Field(
        description="bit-width JSON file, relative to the working directory or to the host's folder"
    )
    index: StrictInt = Field(0, ge=0, description="which of its configurations")


class FaultInjectionSection(InjectionSettings):
    """The whole section."""

    enabled: StrictBool = Field(True, description="false: as if the section were not there")
    enable_in_search: StrictBool = Field(
        False, description="inject while the host searches widths: fault-aware search"
    )
    bit_width_config: Optional[BitWidthSource] = Field(
        None, description="widths that validate is to evaluate; null: the host's own"
    )
    ber_by_epoch: Optional[BerSchedule] = Field(
        None, description="BER of each epoch of training; null: ber in all of them"
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
        if "ber" in values or values.get("rate") is not None:
            return values
        if values.get("enable_in_search") is True:  # searched at one BER, which is to be named
            return values
        if values.get("enable_in_training") is True and values.get("ber_by_epoch") is None:
            return values
        if values.get("enable_in_inference", True) is not False and campaign is None:
            return values
        return {**values, "ber": 0.0}  # nothing asks for it

    @model_validator(mode="after")
    def _fits_campaign(self) -> FaultInjectionSection:
        campaign = self.campaign
        if campaign is None or not self.enabled:
            return self
        if self.mode == "fault_list":
            raise ValueError(
                "a campaign draws fault maps; mode fault_list has the one that it lists"
            )
        for key in ("sensitivity", "critical"):
            if getattr(campaign, key) is not None and "weights" not in self.targets:
                raise ValueError(f"campaign.{key} studies weights, which targets leaves out")
        if campaign.critical is not None and self.mode == "exact_count":
            raise ValueError("campaign.critical is for rates; mode exact_count places its upsets")
        if self.mode == "exact_count" and self.persistence == "per_forward":
            raise ValueError(
                "a campaign of mode exact_count has static maps; persistence is per_forward"
            )
        if not self.enable_in_inference:
            raise ValueError("campaign needs enable_in_inference: it evaluates trials in validate")
        if self.bn_calibration == "both":
            raise ValueError(
                "bn_calibration: both is for one faulted run; allowed with campaign "
                "are clean, faulty"
            )
        if campaign.shard is not None and self.seed is None:
            raise ValueError("campaign.shard needs a seed, the same for all shards")
        if self.mode == "exact_count" and (campaign.ber or campaign.mission or campaign.until):
            raise ValueError(
                "campaign.ber, until and mission are for rates; mode exact_count has "
                "a number of upsets"
            )
        if self.mode == "exact_count" and campaign.sensitivity is not None:
            raise ValueError(
                "campaign.sensitivity is for rates; mode exact_count measures the "
                "drop per upset of the whole memory"
            )
        if campaign.mission is not None:
            check_mission(self, campaign.mission)
        for ber in self.grid:
            check_rates(self.mode, self.asymmetric, ber)
        return self

    @model_validator(mode="after")
    def _fits_epochs(self) -> FaultInjectionSection:
        if self.ber_by_epoch is not None and self.enabled:
            if not self.enable_in_training:
                raise ValueError("ber_by_epoch needs enable_in_training")
            if self.mode in PLACED:
                raise ValueError(f"ber_by_epoch is for rates; the mode is {self.mode}")
            check_rates(self.mode, self.asymmetric, self.ber_by_epoch.highest)
        return self

    @property
    def grid(self) -> Tuple[float, ...]:
        """The BERs of the campaign: its own, or those of its mission just before a scrub, or else
        the one of the section (both, of a counted rate, with those at the ends of its interval), or
        else 1e-6 ... 1e-2; none in mode exact_count."""
        campaign = self.campaign
        if campaign is None or self.mode == "exact_count":
            return ()
        if campaign.ber is not None:
            return campaign.ber
        if campaign.mission is not None:
            period, sure = campaign.mission.period, campaign.confidence
            several = environments(self, campaign.mission)
            return tuple(sorted({ber for one in several for ber in one.bers(period, sure)}))
        rate = self.upset_rate
        if rate is not None and rate.exposure is not None:
            return rate.bers(rate.exposure, campaign.confidence)
        return (self.ber,) if self.ber else GRID

    @property
    def itinerary(self) -> Optional[Itinerary]:
        """Of ``campaign.mission``."""
        campaign = self.campaign
        if campaign is None or campaign.mission is None:
            return None
        return itinerary(self, campaign.mission, campaign.confidence)

    @property
    def about(self) -> Dict[str, Any]:
        """For the manifest: what made the BERs."""
        rate = self.rate
        return {} if rate is None else {"rate": rate.model_dump(exclude_unset=True)}

    @property
    def upset_rate(self) -> Optional[UpsetRate]:
        """``rate`` under the fault model."""
        return None if self.rate is None else UpsetRate.of(self.rate, self.model_dump())


#: From the keys of a mistake to ``"FILE, line N: "``, or the empty string where nobody knows.
Where = Callable[[Sequence[str]], str]


def parse_section(raw: Any, where: Where = lambda keys: "") -> FaultInjectionSection:
    """The validated section. Raises ConfigError, one line for each mistake, with its place in
    front."""
    if not isinstance(raw, Mapping):
        found = "nothing" if raw is None else shown(raw)
        raise ConfigError(
            f"{where(())}{SECTION}: must be a mapping of settings; received {found}: "
            "write its keys below it, indented, for example ber: 1e-6, or enabled: false"
        )
    if raw.get("enabled") is False:
        raw = {"ber": 0.0, **raw}  # a section that is off need not be complete
    return _parse(FaultInjectionSection, raw, SECTION, where)


def parse_settings(raw: Mapping[str, Any]) -> InjectionSettings:
    """The validated arguments of a FaultInjector. Raises ConfigError."""
    return _parse(InjectionSettings, raw, "FaultInjector")


def _parse(
    model: Type[Settings], raw: Mapping[str, Any], root: str, where: Where = lambda keys: ""
) -> Settings:
    try:
        return model(**{str(k): v for k, v in raw.items()})
    except ValidationError as error:
        mistakes = error.errors()
        if any(e["type"] == "extra_forbidden" for e in mistakes):
            # A key is missing because it is misspelled: say so once.
            mistakes = [e for e in mistakes if e["type"] != "missing"]
        if any(e["loc"] == ("mode",) for e in mistakes):  # it may well be one without ber
            mistakes = [e for e in mistakes if e["loc"] != ("ber",) or e["type"] != "missing"]
        # A list with a bad element is not empty, whatever is left of it.
        mistakes = [e for e in mistakes if e["type"] != "too_short" or not e["input"]]
        told, left = mistakes[:MOST_LINES], len(mistakes) - MOST_LINES
        lines = [where([*map(str, e["loc"])]) + _line(model, root, e) for e in told]
        more = [f"and {left} more mistakes"] if left > 0 else []
        raise ConfigError(*lines, *more) from None


#: Mistakes that are told at once.
MOST_LINES = 10
#: What pydantic's kinds of mistakes mean to a writer of YAML.
_MEANING = {
    "bool_type": "must be true or false",
    "int_type": "must be an integer",
    "string_type": "must be a string",
    "model_type": "must be a mapping of settings",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}


def _line(model: Any, root: str, error: Any) -> str:
    """One mistake: path, what is allowed, what was received, nearest name."""
    kind, received = error["type"], error.get("input")
    keys = [str(part) for part in error["loc"]]
    path = ".".join([root, *(key if key.isprintable() else shown(key) for key in keys)])
    if kind == "extra_forbidden":
        allowed = _fields(model, keys[:-1])
        near = did_you_mean(keys[-1], allowed) or f" (allowed are {', '.join(allowed)})"
        return f"{path}: unknown key; received {shown(received)}{near}"
    if kind == "missing":
        instead = " (or rate, or a campaign in its place)" if keys == ["ber"] else ""
        return f"{path}: required key is missing{instead}"
    message = _MEANING.get(kind) or said(str(error["msg"]))
    if not keys:
        return f"{path}: {message}"
    if keys[-1] == "ber" and kind != "value_error":
        message = "must be a number in [0, 1]"
    hint = ""
    if kind == "model_type":
        hint = f"; its keys are {', '.join(_fields(model, keys))}"
    if kind == "literal_error":
        allowed = re.findall(r"[\w.]+", str(error["ctx"]["expected"]).replace(" or ", " "))
        message = f"allowed are {', '.join(allowed)}"
        hint = did_you_mean(received, allowed) if isinstance(received, str) else ""
    told = "" if "; received " in message else f"; received {shown(received)}"
    return f"{path}: {message[0].lower()}{message[1:]}{told}{hint}"


def _fields(model: Any, keys: List[str]) -> List[str]:
    """Keys allowed at the nested place ``keys`` of ``model``."""
    for key in keys:
        if key.isdigit():  # in a list
            continue
        annotation = model.model_fields[key].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        for option in options + [a for o in options for a in getattr(o, "__args__", ())]:
            if isinstance(option, type) and issubclass(option, BaseModel):
                model = option
    return list(model.model_fields)
