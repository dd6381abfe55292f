"""``trials.jsonl``: one row for each trial, checked when it is read. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Dict, List, Optional, Tuple

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from ..errors import ConfigError
from ..fields import first_mistake
from ..files import load_json
from .packed_bits import MOST_IMAGES
from .trials import Outcomes, Trial, TrialResult

TRIALS = "trials.jsonl"

Count = Annotated[StrictInt, Field(ge=0, lt=1 << 63)]
Percent = Annotated[float, Field(ge=0.0, le=100.0, strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _OutcomesRow(_Strict):
    masked: Count
    tolerable: Count
    critical: Count
    nan_inf: Count


class _Row(_Strict):
    """What a row must be. Fields that came later have a default."""

    id: StrictStr
    number: Count
    ber: Optional[Annotated[float, Field(gt=0.0, le=1.0, strict=True)]]
    site: Optional[StrictStr]
    bit: Optional[Count]
    placed: Count
    exhaustive: StrictBool
    metrics: Annotated[Tuple[Percent, ...], Field(min_length=1)]
    upsets: Count
    words_hit: Count
    bits: Count
    upsets_by_site: Dict[str, Count]
    outcomes: Optional[_OutcomesRow]
    ran: StrictBool
    seconds: Annotated[float, Field(ge=0.0)]
    residual: Optional[Count] = None
    corrected: Optional[Count] = None
    detected: Optional[Count] = None
    digest: Optional[StrictStr] = None
    struck: Optional[Tuple[Tuple[Count, Count], ...]] = None
    images: Optional[Annotated[StrictInt, Field(gt=0, lt=MOST_IMAGES)]] = None
    right: Optional[Tuple[StrictStr, ...]] = None
    changed: Optional[Tuple[StrictStr, ...]] = None
    wrong_to_wrong: Optional[Tuple[Count, ...]] = None

    def result(self) -> TrialResult:
        values = dict(self.__dict__)
        key, outcomes = values.pop("id"), values.pop("outcomes")
        names = ("number", "ber", "site", "bit", "placed", "exhaustive")
        trial = Trial(*(values.pop(name) for name in names))
        if trial.id != key:
            raise ConfigError(f"the row with id {key!r} describes trial {trial.id!r}")
        for name in ("right", "changed", "wrong_to_wrong"):
            if values[name] is not None and len(values[name]) != len(values["metrics"]):
                raise ConfigError(f"{name}: is not of {len(values['metrics'])} architectures")
        made = None if outcomes is None else Outcomes(**outcomes.__dict__)
        return TrialResult(trial, outcomes=made, **values)


def parse_row(line: bytes) -> TrialResult:
    """The inverse of :meth:`TrialResult.row`, of JSON. Raises ConfigError for what is none."""
    try:
        return _Row.model_validate(load_json(line)).result()
    except ValidationError as error:
        raise ConfigError(f"not a trial of a campaign: {first_mistake(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not a trial of a campaign: is not JSON ({error})") from None


def read_rows(path: Path) -> Tuple[List[TrialResult], int]:
    """The rows of a ``trials.jsonl`` without a torn last line, and the length of that in bytes.

    Raises ConfigError for a line that is no trial, that comes twice, or that has another number of
    accuracies than the one before.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: is not a plain file")
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read ({error.strerror})") from error
    complete = data.rfind(b"\n") + 1
    rows: Dict[str, TrialResult] = {}
    several: Optional[int] = None
    for number, line in enumerate(data[:complete].splitlines(), 1):
        try:
            result = parse_row(line)
        except ConfigError as error:
            raise ConfigError(f"{path}, line {number}: {error}") from error
        if result.trial.id in rows:
            raise ConfigError(f"{path}, line {number}: trial {result.trial.id} comes twice")
        if several not in (None, len(result.metrics)):
            raise ConfigError(
                f"{path}, line {number}: metrics: has {len(result.metrics)} accuracies, and "
                f"{several} in the rows before"
            )
        several = len(result.metrics)
        rows[result.trial.id] = result
    return list(rows.values()), complete


def trials_in(folder: Path) -> int:
    """Whole rows that a campaign's folder has now, without the golden run's."""
    path = folder / TRIALS
    return max(path.read_bytes().count(b"\n") - 1, 0) if path.is_file() else 0
