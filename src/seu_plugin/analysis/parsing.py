"""Lines of ``trials.jsonl`` as columns, many at once. No torch.

What is not plainly as :meth:`~.trials.TrialResult.row` writes it is left to
:func:`~.rows.parse_row`, which says what is wrong, or takes it all the same.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .columns import COUNTS, NONE, OUTCOMES, RARE, Floats, Table, rare_of
from .packed_bits import MOST_IMAGES
from .ragged import Integers, Ragged
from .trials import Trial

_GROUP = ("ber", "site", "bit", "placed", "exhaustive")
_ALWAYS = frozenset(
    (
        *("id", "number", *_GROUP, "metrics", "upsets", "words_hit", "bits", "upsets_by_site"),
        *("outcomes", "ran", "seconds"),
    )
)
_SOMETIMES = frozenset(("residual", "corrected", "detected", "struck", "images", *RARE))
_NONE_TYPE = type(None)


class _OtherwiseError(Exception):
    """The lines are not all plainly rows."""


def plain_table(lines: Sequence[bytes]) -> Optional[Table]:
    """The rows in some lines, which need not be of different trials; None: some line is not
    plainly one."""
    try:
        return _table(lines)
    except (_OtherwiseError, ValueError, RecursionError, OverflowError):
        return None


def _check(holds: object) -> None:
    if not holds:
        raise _OtherwiseError


def _types(values: Sequence[Any], *allowed: type) -> None:
    _check({*map(type, values)} <= {*allowed})


def _table(lines: Sequence[bytes]) -> Table:
    rows = _objects(lines)
    several = len(rows[0]["metrics"])

    def column(name: str) -> List[Any]:
        return [row.get(name) for row in rows]

    counts = {name: _counts(column(name), name in _SOMETIMES) for name in COUNTS}
    _check((counts["images"] != 0).all() and (counts["images"] < MOST_IMAGES).all())
    outcomes = column("outcomes")
    made = [one for one in outcomes if one is not None]
    _check(all(one.keys() == {*OUTCOMES} for one in made))
    for name in OUTCOMES:
        counts[name] = _counts([None if one is None else one[name] for one in outcomes], True)
        _check((counts[name] != NONE).sum() == len(made))
    groups, group, number = _trials(rows)
    by_site = column("upsets_by_site")
    names = {name: i for i, name in enumerate(dict.fromkeys(chain.from_iterable(by_site)))}
    hits = [[*one.values()] for one in by_site]
    _counts([*chain.from_iterable(hits)])
    ran = column("ran")
    _types(ran, bool)
    return Table(
        groups,
        np.array(group, dtype=np.int32),
        number,
        _floats([*chain.from_iterable(column("metrics"))], 100.0).reshape(len(rows), several),
        _floats(column("seconds"), np.inf),
        np.array(ran, dtype=np.bool_),
        counts,
        tuple(names),
        np.array([names[name] for name in chain.from_iterable(by_site)], dtype=np.int32),
        Ragged.of(hits),
        _struck(column("struck")),
        {name: _rare(column(name), name, several) for name in RARE},
    )


def _objects(lines: Sequence[bytes]) -> List[Dict[str, Any]]:
    """Each line's object, with the keys of a row, none of them twice."""
    data = b",null,".join(lines)  # null: no object may begin in one line and end in another
    _check(b"\\" not in data)
    found = json.loads(b"[%s]" % data)
    rows = found[::2]
    _check(len(found) == 2 * len(lines) - 1 and not any(found[1::2]))
    _types(rows, dict)
    for keys in {*map(tuple, rows)}:
        _check(_ALWAYS <= {*keys} <= _ALWAYS | _SOMETIMES)
    inner = [row["upsets_by_site"] for row in rows]
    inner += [row["outcomes"] for row in rows if row["outcomes"] is not None]
    _types(inner, dict)
    _types([row["metrics"] for row in rows], list)
    _check(len({len(row["metrics"]) for row in rows}) == 1)
    # Without \, each : of the text stands in a string or behind a key.
    texts = [row[name] for row in rows for name in ("id", "site", "digest") if row.get(name)]
    texts += [t for row in rows for name in ("right", "changed") for t in row.get(name) or ()]
    texts += [*chain.from_iterable(inner)]
    colons = sum(map(len, rows)) + sum(map(len, inner)) + "".join(texts).count(":")
    _check(data.count(b":") == colons)
    return rows


def _counts(values: Sequence[Any], or_none: bool = False) -> Integers:
    if or_none:
        _types(values, int, _NONE_TYPE)
        known = [value for value in values if value is not None]
        _check(not known or min(known) >= 0)
        values = [NONE if value is None else value for value in values]
    else:
        _types(values, int)
    found = np.array(values, dtype=np.int64)
    _check(or_none or not found.size or found.min() >= 0)
    return found


def _floats(values: Sequence[Any], most: float) -> Floats:
    _types(values, float)
    found = np.array(values, dtype=np.float64)
    _check(found.size and ((found >= 0.0) & (found <= most)).all())
    return found


def _trials(rows: Sequence[Dict[str, Any]]) -> Tuple[Tuple[Trial, ...], List[int], Integers]:
    """Trials but for their numbers, which of them each row's is, and the numbers."""
    ber, site, bit, placed, exhaustive = ([row[name] for row in rows] for name in _GROUP)
    number = [row["number"] for row in rows]
    _types(ber, float, _NONE_TYPE)
    _types(site, str, _NONE_TYPE)
    _types(bit, int, _NONE_TYPE)
    _types(exhaustive, bool)
    _counts(placed)
    _counts(bit, True)
    groups: Dict[Tuple[Any, ...], int] = {}
    group = [groups.setdefault(k, len(groups)) for k in zip(ber, site, bit, placed, exhaustive)]
    trials = [Trial(0, *key) for key in groups]
    _check(all(t.ber is None or 0.0 < t.ber <= 1.0 for t in trials))
    # An id ends with the number, except for that of the golden run.
    before = [Trial(1, *key).id[:-1] for key in groups]
    golden = groups.get((None, None, None, 0, False), -1)
    ids = [f"{before[g]}{n}" if n or g != golden else Trial(0).id for g, n in zip(group, number)]
    _check(ids == [row["id"] for row in rows])
    return tuple(trials), group, _counts(number)


def _struck(values: Sequence[Any]) -> Ragged:
    _types(values, list, _NONE_TYPE)
    pairs = [*chain.from_iterable(value for value in values if value is not None)]
    _types(pairs, list)
    _check({*map(len, pairs)} <= {2})
    _counts([*chain.from_iterable(pairs)])
    return Ragged.of([v if v is None else [*chain.from_iterable(v)] for v in values])


def _rare(values: Sequence[Any], name: str, several: int) -> Dict[int, Any]:
    found = rare_of(values)
    if name == "digest":
        _types([*found.values()], str)
        return found
    _types([*found.values()], list)
    _check({*map(len, found.values())} <= {several})
    flat = [*chain.from_iterable(found.values())]
    if name == "wrong_to_wrong":
        _counts(flat)
    else:
        _types(flat, str)
    return {i: tuple(value) for i, value in found.items()}
