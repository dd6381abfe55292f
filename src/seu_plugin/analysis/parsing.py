"""Lines of ``trials.jsonl`` as columns, many at once. No torch.

What is not plainly as :meth:`~.trials.TrialResult.row` writes it is left to
:func:`~.rows.parse_row`, which says what is wrong, or takes it all the same.
"""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from pydantic_core import from_json

from .columns import COUNTS, NONE, OUTCOMES, RARE, Floats, Table, rare_of
from .packed_bits import MOST_IMAGES
from .ragged import Integers, Ragged, starts_of
from .trials import Trial

_GROUP = ("ber", "site", "bit", "placed", "exhaustive")
_ALWAYS = frozenset(
    (
        *("id", "number", *_GROUP, "metrics", "upsets", "words_hit", "bits", "upsets_by_site"),
        *("outcomes", "ran", "seconds"),
    )
)
_OF_MISSIONS = ("moment", "rate")
_SOMETIMES = frozenset(
    ("residual", "corrected", "detected", "struck", "images", *_OF_MISSIONS, *RARE)
)
_NONE_TYPE = type(None)


class _OtherwiseError(Exception):
    """The lines are not all plainly rows."""


def plain_table(lines: Sequence[bytes]) -> Optional[Table]:
    """The rows in some lines, which need not be of different trials; None: some line is not
    plainly one."""
    try:
        return _table(lines)
    except (_OtherwiseError, ValueError, TypeError, RecursionError, OverflowError):
        return None


def _check(holds: object) -> None:
    if not holds:
        raise _OtherwiseError


def _types(values: Sequence[Any], *allowed: type) -> None:
    _check({*map(type, values)} <= {*allowed})


def _table(lines: Sequence[bytes]) -> Table:
    columns = _columns(lines)
    n, several = len(lines), len(columns["metrics"][0])
    counts = {}
    for name in COUNTS:
        known = name in columns
        counts[name] = (
            _counts(columns[name], name in _SOMETIMES) if known else np.full(n, NONE, np.int64)
        )
    _check((counts["images"] != 0).all() and (counts["images"] < MOST_IMAGES).all())
    counts.update(_outcomes(columns["outcomes"]))
    groups, group, number = _trials(columns)
    by_site = columns["upsets_by_site"]
    names = {name: i for i, name in enumerate(dict.fromkeys(chain.from_iterable(by_site)))}
    hit = map(names.__getitem__, chain.from_iterable(by_site))
    _check(not any(":" in name for name in names))
    hits = _counts([*chain.from_iterable(map(dict.values, by_site))])
    _types(columns["ran"], bool)
    return Table(
        groups,
        np.array(group, dtype=np.int32),
        number,
        _floats([*chain.from_iterable(columns["metrics"])], 100.0).reshape(n, several),
        _floats(columns["seconds"], np.inf),
        np.array(columns["ran"], dtype=np.bool_),
        counts,
        tuple(names),
        np.array([*hit], dtype=np.int32),
        Ragged(hits, starts_of([*map(len, by_site)]), np.ones(n, dtype=np.bool_)),
        _struck(columns.get("struck", [None] * n)),
        {name: _rare(columns.get(name, ()), name, several) for name in RARE},
    )


def _columns(lines: Sequence[bytes]) -> Dict[str, List[Any]]:
    """By key, of lines that each are an object with the keys of a row, none of them twice."""
    # What begins in one line may not end in another: null is in no list, and \n in no string.
    data = b",null,\n".join(lines)
    _check(b"\\" not in data)
    found = from_json(b"[%s]" % data)  # faster than the json module, and takes no less
    rows = found[::2]
    _check(len(rows) == len(lines) and found[1::2] == [None] * (len(lines) - 1))
    _types(rows, dict)
    keys = {*map(tuple, rows)}
    for some in keys:
        _check(_ALWAYS <= {*some} <= _ALWAYS | _SOMETIMES)
    columns = {name: [*map(itemgetter(name), rows)] for name in _ALWAYS}
    for name in {*chain.from_iterable(keys)} - _ALWAYS:
        columns[name] = [row.get(name) for row in rows]
    inner = [*columns["upsets_by_site"], *(one for one in columns["outcomes"] if one is not None)]
    _types(inner, dict)
    _types(columns["metrics"], list)
    _check(len({*map(len, columns["metrics"])}) == 1)
    # Without \, each : of the text stands in a string or behind a key (that has none).
    texts = [columns["id"], filter(None, columns["site"]), filter(None, columns.get("digest", ()))]
    for name in ("right", "changed"):
        texts.append(chain.from_iterable(filter(None, columns.get(name, ()))))
    colons = "".join(chain(*texts)).count(":")
    _check(data.count(b":") == colons + sum(map(len, rows)) + sum(map(len, inner)))
    return columns


def _outcomes(values: Sequence[Any]) -> Dict[str, Integers]:
    made = [one for one in values if one is not None]
    for keys in {*map(tuple, made)}:
        _check({*keys} == {*OUTCOMES})
    found = np.full((len(values), len(OUTCOMES)), NONE, dtype=np.int64)
    if made:
        counted = [*chain.from_iterable(map(itemgetter(*OUTCOMES), made))]
        known = np.array([one is not None for one in values])
        found[known] = _counts(counted).reshape(len(made), len(OUTCOMES))
    return {name: np.ascontiguousarray(found[:, i]) for i, name in enumerate(OUTCOMES)}


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


def _trials(columns: Dict[str, List[Any]]) -> Tuple[Tuple[Trial, ...], List[int], Integers]:
    """Trials but for their numbers, which of them each row's is, and the numbers."""
    ber, site, bit, placed, exhaustive = (columns[name] for name in _GROUP)
    number = columns["number"]
    _types(ber, float, _NONE_TYPE)
    _types(site, str, _NONE_TYPE)
    _types(exhaustive, bool)
    _counts(placed)
    _counts(bit, True)
    moment, rate = (columns.get(name, [None] * len(ber)) for name in _OF_MISSIONS)
    _counts(moment, True)
    _check({*rate} <= {None, "low", "high"})
    groups: Dict[Tuple[Any, ...], int] = {}
    keys = zip(ber, site, bit, placed, exhaustive, moment, rate)
    group = [groups.setdefault(key, len(groups)) for key in keys]
    trials = [Trial(0, *key) for key in groups]
    _check(all(t.ber is None or 0.0 < t.ber <= 1.0 for t in trials))
    # An id ends with the number, except for that of the golden run.
    before = [Trial(1, *key).id[:-1] for key in groups]
    golden = groups.get((None, None, None, 0, False, None, None), -1)
    ids = [f"{before[g]}{n}" if n or g != golden else Trial(0).id for g, n in zip(group, number)]
    _check(ids == columns["id"])
    return tuple(trials), group, _counts(number)


def _struck(values: Sequence[Any]) -> Ragged:
    _types(values, list, _NONE_TYPE)
    known = np.array([value is not None for value in values], dtype=np.bool_)
    pairs = [*chain.from_iterable(filter(None, values))]
    _types(pairs, list)
    _check({*map(len, pairs)} <= {2})
    lengths = [2 * len(value or ()) for value in values]
    return Ragged(_counts([*chain.from_iterable(pairs)]), starts_of(lengths), known)


def _rare(values: Sequence[Any], name: str, several: int) -> Dict[int, Any]:
    found = rare_of(values)
    if name in ("digest", "margin"):
        _types([*found.values()], str if name == "digest" else float)
        _check(name == "digest" or np.isfinite([*found.values()]).all())
        return found
    _types([*found.values()], list)
    _check({*map(len, found.values())} <= {several})
    flat = [*chain.from_iterable(found.values())]
    if name == "wrong_to_wrong":
        _counts(flat)
    else:
        _types(flat, str)
    return {i: tuple(value) for i, value in found.items()}
