"""``manifest.json``: what a campaign was, read by every later version. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from ..errors import ConfigError
from ..faults.population import Kind, Population
from ..faults.rates import Rate
from ..fields import first_mistake
from ..files import read_json
from ..settings.campaign import CampaignSettings

MANIFEST = "manifest.json"
#: The format that this version writes; it reads all up to it.
FORMAT = 1


#: Cells of a unit: a memory word of 64 data bits with its check bits, and to spare.
MOST_CELLS = 1024
Whole = Annotated[StrictInt, Field(ge=0, lt=1 << 63)]


#: Of ``images``, before why.
NOT_KNOWN = "not known: "


class _Lenient(BaseModel):
    """Fields of later versions are kept, and not looked at."""

    model_config = ConfigDict(extra="allow")


class Identity(_Lenient):
    """What must agree for two results to belong together."""

    section: Dict[str, Any]
    seed: StrictInt
    widths: Dict[str, List[StrictInt]]
    model: StrictStr


class PopulationFields(_Lenient):
    """The units of the memory, where trials were drawn given that one is dangerous."""

    kinds: Annotated[List[Tuple[Whole, Whole, Whole]], Field(min_length=1, max_length=1000)]
    factor: Annotated[float, Field(ge=1e-100, le=1e100)]

    @field_validator("kinds")
    @classmethod
    def _possible(cls, value: List[Tuple[int, int, int]]) -> List[Tuple[int, int, int]]:
        for units, cells, least in value:
            if units < 1 or not 1 <= least <= cells <= MOST_CELLS:
                raise ValueError(f"no memory has {units} units of {cells} cells, {least} or more")
        return value

    def population(self) -> Population:
        return Population(tuple(Kind(*kind) for kind in self.kinds), self.factor)


class Reused(_Lenient):
    """Of the work of so many ``trials``, the mean ``share`` was the golden run's."""

    trials: Annotated[StrictInt, Field(ge=1)]
    share: Annotated[float, Field(ge=0.0, le=1.0)]


def together(parts: Sequence[Optional[Mapping[str, Any]]]) -> Optional[Dict[str, Any]]:
    """Of :class:`Reused`, as far as it is known, that of all trials."""
    known = [Reused.model_validate(part) for part in parts if part is not None]
    trials = sum(part.trials for part in known)
    if not trials:
        return None
    return {"trials": trials, "share": sum(one.trials * one.share for one in known) / trials}


class Manifest(_Lenient):
    """The fields that are read again."""

    format: StrictInt
    identity: Identity
    shard: StrictStr = "0/1"
    seed: StrictInt
    plan: Dict[str, Any]
    strata: Dict[str, StrictInt] = {}
    extra_bits: StrictInt = 0
    population: Optional[PopulationFields] = None
    sampling: Optional[StrictStr] = None
    versions: Dict[str, Any]
    started: Optional[StrictStr] = None
    device: Optional[StrictStr] = None
    threads: StrictInt = 1
    adapters: Dict[str, StrictStr] = {}
    words: Dict[str, StrictInt] = {}
    command: Optional[List[StrictStr]] = None
    cwd: Optional[StrictStr] = None
    host: Optional[StrictStr] = None
    reused: Optional[Reused] = None
    rate: Optional[Dict[str, Any]] = None

    @field_validator("plan", "rate")
    @classmethod
    def _of_a_campaign(cls, value: Any, info: ValidationInfo) -> Any:
        settings = {"plan": CampaignSettings, "rate": Rate}[str(info.field_name)]
        try:
            settings(**value) if value is not None else None
        except ValidationError as error:
            raise ValueError(first_mistake(error)) from None
        return value


def read_manifest(folder: Path) -> Dict[str, Any]:
    """The manifest of a folder. Raises ConfigError, naming file and field, if the folder holds no
    campaign, a damaged one, or one of a later version."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ConfigError(f"{folder}: is not the folder of a campaign (it has no {MANIFEST})")
    manifest = read_json(path)
    if not isinstance(manifest, dict):
        raise ConfigError(f"{path}: must be a JSON object")
    found = manifest.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise ConfigError(
            f"{path}: format: is {found}, of a later version of seu-plugin (this one reads up to "
            f"{FORMAT}); update it"
        )
    try:
        known = Manifest.model_validate(manifest)
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_mistake(error)}") from None
    return known.model_dump()


def check_same_campaign(
    there: Mapping[str, Any], identity: Mapping[str, Any], folder: Path, shard: Optional[str] = None
) -> None:
    """Raise ConfigError, naming what differs, unless the manifest ``there`` is of the campaign
    with this ``identity`` (or a part of one) and, if given, of this shard of it."""
    known = there.get("identity", {})
    one, two = _flat({key: known.get(key) for key in identity}), _flat(identity)
    different = sorted(key for key in {*one, *two} if one.get(key, two) != two.get(key, one))
    if shard is not None and there.get("shard") != shard:
        different.append("shard")
    if different == ["section.sampling"]:
        drawn = "conditionally" if known["section"].get("sampling") else "plainly"
        raise ConfigError(
            f"output: {folder} holds the same campaign, whose trials were drawn {drawn}, and the "
            "two are not mixed: campaign.sampling: "
            f"{'conditional' if drawn == 'conditionally' else 'plain'} goes on with it; or choose "
            "another folder"
        )
    if different:
        raise ConfigError(
            f"output: {folder} holds another campaign; it differs in {', '.join(different)}: "
            "choose another folder, or remove this one"
        )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Dict[str, Any]:
    """Nested mappings as one with dotted keys."""
    flat: Dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
