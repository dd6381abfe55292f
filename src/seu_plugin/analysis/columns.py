"""Trials as columns: what a folder of a hundred thousand of them is held as. No torch.

A row is made a :class:`~.trials.TrialResult` when somebody asks for it, and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union, overload

import numpy as np
import numpy.typing as npt

from .ragged import Integers, Ragged
from .trials import GOLDEN, Outcomes, Trial, TrialResult

Floats = npt.NDArray[np.float64]
#: Stands where there is no count.
NONE = -1
#: Counts of a row, those of its outcomes, and fields that few rows have or that are text.
COUNTS = ("upsets", "words_hit", "bits", "residual", "corrected", "detected", "images")
OUTCOMES = ("masked", "tolerable", "critical", "nan_inf")
RARE = ("digest", "right", "changed", "wrong_to_wrong", "margin")


@dataclass(frozen=True, eq=False)
class Table:
    """``groups``: trials but for their numbers, of which ``group`` is each row's; ``counts``: a
    column of each of ``COUNTS`` and ``OUTCOMES``; ``sites``: names, and of each row which
    (``hit``) had how many upsets (``hits``); ``rare``: by field and row."""

    groups: Tuple[Trial, ...]
    group: npt.NDArray[np.int32]
    number: Integers
    metrics: Floats
    seconds: Floats
    ran: npt.NDArray[np.bool_]
    counts: Mapping[str, Integers]
    sites: Tuple[str, ...]
    hit: npt.NDArray[np.int32]
    hits: Ragged
    struck: Ragged
    rare: Mapping[str, Mapping[int, Any]]

    def __len__(self) -> int:
        return len(self.number)

    def result(self, i: int) -> TrialResult:
        """One row."""
        counted = {name: int(column[i]) for name, column in self.counts.items()}
        made = Outcomes(*(counted.pop(name) for name in OUTCOMES))
        start, end = self.hits.starts[i], self.hits.starts[i + 1]
        names = [self.sites[j] for j in self.hit[start:end].tolist()]
        others: Dict[str, Any] = {name: None if n == NONE else n for name, n in counted.items()}
        others.update((name, rows.get(i)) for name, rows in self.rare.items())
        return TrialResult(
            replace(self.groups[self.group[i]], number=int(self.number[i])),
            tuple(self.metrics[i].tolist()),
            upsets_by_site=dict(zip(names, self.hits.values[start:end].tolist())),
            outcomes=None if made.masked == NONE else made,
            ran=bool(self.ran[i]),
            seconds=float(self.seconds[i]),
            struck=self.struck.pairs(i),
            **others,
        )


def table_of(results: Sequence[TrialResult]) -> Table:
    """Raises ValueError unless all have as many accuracies, OverflowError for a count beyond 64
    bits."""
    groups: Dict[Trial, int] = {}
    sites: Dict[str, int] = {}
    blank = [replace(result.trial, number=0) for result in results]
    outcomes = [result.outcomes for result in results]
    counts = {name: [getattr(result, name) for result in results] for name in COUNTS}
    counts.update({n: [None if o is None else getattr(o, n) for o in outcomes] for n in OUTCOMES})
    hit = [sites.setdefault(name, len(sites)) for r in results for name in r.upsets_by_site]
    return Table(
        group=np.array([groups.setdefault(t, len(groups)) for t in blank], dtype=np.int32),
        groups=tuple(groups),
        number=np.array([result.trial.number for result in results], dtype=np.int64),
        metrics=np.array([result.metrics for result in results], dtype=np.float64),
        seconds=np.array([result.seconds for result in results], dtype=np.float64),
        ran=np.array([result.ran for result in results], dtype=np.bool_),
        counts={name: _with_none(column) for name, column in counts.items()},
        hit=np.array(hit, dtype=np.int32),
        sites=tuple(sites),
        hits=Ragged.of([list(result.upsets_by_site.values()) for result in results]),
        struck=Ragged.of(
            [None if r.struck is None else [n for pair in r.struck for n in pair] for r in results]
        ),
        rare={name: rare_of([getattr(r, name) for r in results]) for name in RARE},
    )


def _with_none(values: Sequence[Optional[int]]) -> Integers:
    return np.array([NONE if value is None else value for value in values], dtype=np.int64)


def rare_of(values: Sequence[Any]) -> Dict[int, Any]:
    return {i: value for i, value in enumerate(values) if value is not None}


def joined(tables: Sequence[Table]) -> Table:
    """All rows of some tables, which have as many accuracies."""
    groups: Dict[Trial, int] = {}
    sites: Dict[str, int] = {}
    group, hit, rare, first = [], [], {name: {} for name in RARE}, 0  # type: ignore[var-annotated]
    for table in tables:
        at = np.array([groups.setdefault(t, len(groups)) for t in table.groups], dtype=np.int32)
        group.append(at[table.group])
        at = np.array([sites.setdefault(name, len(sites)) for name in table.sites], dtype=np.int32)
        hit.append(at[table.hit] if at.size else table.hit)
        for name, rows in table.rare.items():
            rare[name].update({first + i: value for i, value in rows.items()})
        first += len(table)
    return Table(
        tuple(groups),
        np.concatenate(group),
        np.concatenate([table.number for table in tables]),
        np.concatenate([table.metrics for table in tables]),
        np.concatenate([table.seconds for table in tables]),
        np.concatenate([table.ran for table in tables]),
        {
            name: np.concatenate([table.counts[name] for table in tables])
            for name in (*COUNTS, *OUTCOMES)
        },
        tuple(sites),
        np.concatenate(hit),
        Ragged.joined([table.hits for table in tables]),
        Ragged.joined([table.struck for table in tables]),
        rare,
    )


class Rows(Sequence[TrialResult]):
    """Some rows of a table, in some order: a sequence of trials, and columns of them."""

    def __init__(self, table: Table, index: Optional[Integers] = None) -> None:
        self.table = table
        self.at = np.arange(len(table)) if index is None else index

    @classmethod
    def of(cls, results: Sequence[TrialResult]) -> Rows:
        return results if isinstance(results, Rows) else cls(table_of(results))

    def __len__(self) -> int:
        return len(self.at)

    @overload
    def __getitem__(self, i: int) -> TrialResult: ...
    @overload
    def __getitem__(self, i: slice) -> Rows: ...
    def __getitem__(self, i: Union[int, slice]) -> Union[TrialResult, Rows]:
        if isinstance(i, slice):
            return Rows(self.table, self.at[i])
        return self.table.result(int(self.at[i]))

    def __iter__(self) -> Iterator[TrialResult]:
        return map(self.table.result, self.at.tolist())

    def where(self, chosen: npt.NDArray[np.bool_]) -> Rows:
        return Rows(self.table, self.at[chosen])

    @property
    def number(self) -> Integers:
        return self.table.number[self.at]

    @property
    def ber(self) -> Floats:
        """NaN where upsets were placed."""
        bers = [np.nan if t.ber is None else t.ber for t in self.table.groups]
        return np.array(bers, dtype=np.float64)[self.group]

    @property
    def moment(self) -> Integers:
        """-1 where no mission was followed."""
        moments = [NONE if t.moment is None else t.moment for t in self.table.groups]
        return np.array(moments, dtype=np.int64)[self.group]

    def of_rate(self, rate: str) -> npt.NDArray[np.bool_]:
        """Which are of a mission at this end of the rate's interval (empty: as measured)."""
        chosen = [t.moment is not None and (t.rate or "") == rate for t in self.table.groups]
        return np.array(chosen, dtype=np.bool_)[self.group]

    @property
    def group(self) -> npt.NDArray[np.int32]:
        return self.table.group[self.at]

    @property
    def ran(self) -> npt.NDArray[np.bool_]:
        return self.table.ran[self.at]

    def metric(self, architecture: int) -> Floats:
        return np.asarray(self.table.metrics[self.at, architecture])

    def counted(self, name: str) -> Integers:
        """A column of ``COUNTS`` or ``OUTCOMES``, with -1 where there is none."""
        return self.table.counts[name][self.at]

    def rare(self, name: str) -> List[Any]:
        """A column of ``RARE``, with None where there is none."""
        rows = self.table.rare[name]
        return [rows.get(i) for i in self.at.tolist()] if rows else [None] * len(self)

    @property
    def is_struck(self) -> npt.NDArray[np.bool_]:
        return self.table.struck.known[self.at]

    def ids(self) -> List[str]:
        """As :attr:`~.trials.Trial.id` of each."""
        # An id ends with the number, except for that of the golden run.
        before = [replace(trial, number=1).id[:-1] for trial in self.table.groups]
        ids = [f"{before[g]}{n}" for g, n in zip(self.group.tolist(), self.number.tolist())]
        for i in np.flatnonzero(self.is_golden):
            ids[i] = GOLDEN
        return ids

    @property
    def is_golden(self) -> npt.NDArray[np.bool_]:
        blank = np.array([trial == Trial(0) for trial in self.table.groups], dtype=np.bool_)
        return np.asarray(blank[self.group] & (self.number == 0))

    @property
    def has_one_twice(self) -> bool:
        """Whether an id does."""
        names: Dict[str, int] = {}
        before = [replace(trial, number=1).id for trial in self.table.groups]
        same = np.array([names.setdefault(name, len(names)) for name in before], dtype=np.int64)
        # The golden run is no trial of the whole memory, whose ids look like its own.
        group, number = np.where(self.is_golden, len(names), same[self.group]), self.number
        order = np.lexsort((number, group))
        again = (np.diff(group[order]) == 0) & (np.diff(number[order]) == 0)
        return bool(again.any())

    def points(self, architecture: int) -> Tuple[Floats, Floats]:
        """BERs, and accuracies at them."""
        ber = self.ber
        drawn = ~np.isnan(ber)
        return ber[drawn], self.metric(architecture)[drawn]

    def struck(self) -> Floats:
        """Of rows that all have it, of shape [rows, kinds, 2]."""
        flat = self.table.struck.table(self.at).astype(np.float64)
        return flat.reshape(len(self), -1, 2)

    def not_of_kinds(self, kinds: int) -> Rows:
        """Those whose ``struck`` is of another number of kinds."""
        struck = self.table.struck
        return self.where(self.is_struck & (struck.lengths[self.at] != 2 * kinds))

    def by_ber(self) -> Dict[float, Rows]:
        """Rows at each BER, both ascending by number."""
        ordered = Rows(self.table, self.at[np.argsort(self.number, kind="stable")])
        group, groups = ordered.group, self.table.groups
        return {
            ber: ordered.where(group == g)
            for ber, g in sorted((t.ber, g) for g, t in enumerate(groups) if t.ber is not None)
            if (group == g).any()
        }

    def upsets_by_site(self) -> Dict[str, int]:
        """Sums over all rows, by name."""
        hits = self.table.hits
        which, upsets = hits.flat(self.at, self.table.hit), hits.flat(self.at, hits.values)
        sums = {name: upsets[which == i] for i, name in enumerate(self.table.sites)}
        return {name: sum(found.tolist()) for name, found in sorted(sums.items()) if found.size}


def joined_rows(parts: Sequence[Rows]) -> Rows:
    """Rows of several tables behind each other."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part.table) for part in parts)])
    index = np.concatenate([start + part.at for start, part in zip(starts, parts)])
    return Rows(joined([part.table for part in parts]), index)
