"""Entries of different lengths in one array."""

import numpy as np
import pytest

from seu_plugin.analysis.ragged import Ragged, starts_of

ENTRIES = [[1, 2], [], None, [3, 4, 5, 6], [7, 8]]


def test_entries_come_back():
    found = Ragged.of(ENTRIES)
    assert [found[i] for i in range(5)] == ENTRIES
    assert [found.pairs(i) for i in (0, 1, 2, 3)] == [((1, 2),), (), None, ((3, 4), (5, 6))]
    assert found.lengths.tolist() == [2, 0, 0, 4, 2]


def test_parts_are_joined():
    joined = Ragged.joined([Ragged.of(ENTRIES[:2]), Ragged.of([]), Ragged.of(ENTRIES[2:])])
    assert [joined[i] for i in range(5)] == ENTRIES


def test_entries_are_taken_in_any_order():
    found = Ragged.of(ENTRIES)
    index = np.array([4, 1, 2, 0])
    assert found.flat(index, found.values).tolist() == [7, 8, 1, 2]
    assert found.flat(index, found.values * 10).tolist() == [70, 80, 10, 20]
    assert found.table(np.array([4, 0])).tolist() == [[7, 8], [1, 2]]
    none = np.array([], dtype=np.int64)
    assert found.flat(none, found.values).size == found.table(none).size == 0


def test_there_may_be_none():
    assert Ragged.of([]).lengths.size == 0 and starts_of([]).tolist() == [0]


def test_what_has_more_than_64_bits_is_none():
    with pytest.raises(OverflowError):
        Ragged.of([[1 << 63]])
