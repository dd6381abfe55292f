"""``trials.jsonl``: one row for each trial, checked when it is read. No torch."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Dict, Iterator, List, Literal, Optional, Set, Tuple

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from ..errors import ConfigError
from ..fields import first_mistake
from ..files import load_json
from .columns import Rows, Table, joined, table_of
from .packed_bits import MOST_IMAGES
from .parsing import plain_table
from .trials import Outcomes, Trial, TrialResult

TRIALS = "trials.jsonl"
#: Bytes that are parsed at a time.
_PIECE = 1 << 20

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
    margin: Optional[Annotated[float, Field(strict=True, allow_inf_nan=False)]] = None
    moment: Optional[Count] = None
    rate: Optional[Literal["low", "high"]] = None

    def result(self) -> TrialResult:
        values = dict(self.__dict__)
        key, outcomes = values.pop("id"), values.pop("outcomes")
        names = ("number", "ber", "site", "bit", "placed", "exhaustive", "moment", "rate")
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
    except ConfigError as error:
        raise ConfigError(f"not a trial of a campaign: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not a trial of a campaign: is not JSON ({error})") from None


def read_rows(path: Path) -> Tuple[Rows, int]:
    """The rows of a ``trials.jsonl`` without a torn last line, and the length of that in bytes.

    Raises ConfigError for a line that is no trial, that comes twice, or that has another number of
    accuracies than the one before.
    """
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: is not a plain file")
        with path.open("rb") as file, _collector_off():
            return _rows(path, file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read ({error.strerror})") from error


@contextmanager
def _collector_off() -> Iterator[None]:
    """Objects of JSON are in no circles, and looking for some takes as long as parsing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _rows(path: Path, file: BinaryIO) -> Tuple[Rows, int]:
    tables: List[Table] = []
    complete = 0
    for piece in _pieces(file):
        complete += len(piece)
        lines = piece.splitlines()
        try:
            table = plain_table(lines) or table_of([parse_row(line) for line in lines])
        except (ConfigError, ValueError):  # ValueError: of different numbers of accuracies
            raise _mistake(path, file) from None
        tables.append(table)
        if table.metrics.shape[1] != tables[0].metrics.shape[1]:
            raise _mistake(path, file)
    rows = Rows(joined(tables) if tables else table_of([]))
    if rows.has_one_twice:
        raise _mistake(path, file)
    return rows, complete


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """A file from its beginning, but for a torn last line, in pieces of whole lines."""
    file.seek(0)
    torn = b""
    for data in iter(lambda: file.read(_PIECE), b""):
        whole = data.rfind(b"\n") + 1
        if whole:
            yield torn + data[:whole]
        torn = data[whole:] if whole else torn + data


def _mistake(path: Path, file: BinaryIO) -> ConfigError:
    """The first mistake in a file that has one."""
    known: Set[str] = set()
    several: Optional[int] = None
    lines = (line for piece in _pieces(file) for line in piece.splitlines())
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        try:
            result = parse_row(line)
        except ConfigError as error:
            return ConfigError(f"{where}: {error}")
        if result.trial.id in known:
            return ConfigError(f"{where}: trial {result.trial.id} comes twice")
        if several not in (None, len(result.metrics)):
            return ConfigError(
                f"{where}: metrics: has {len(result.metrics)} accuracies, and {several} in the "
                "rows before"
            )
        several = len(result.metrics)
        known.add(result.trial.id)
    return ConfigError(f"{path}: was changed while it was read")


def trials_in(folder: Path) -> int:
    """Whole rows that a campaign's folder has now, without the golden run's."""
    path = folder / TRIALS
    return max(path.read_bytes().count(b"\n") - 1, 0) if path.is_file() else 0
