"""Where stored bits lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from seu_plugin.memory.layout import Array, MemorySettings, Packing


@given(
    codes=st.integers(1, 60),
    positions=st.sets(st.integers(0, 7), min_size=1).map(lambda p: tuple(sorted(p))),
    word_bits=st.integers(8, 64),
    aligned=st.booleans(),
)
def test_each_bit_of_a_code_has_a_place_of_its_own(codes, positions, word_bits, aligned):
    packing = Packing(codes, positions, word_bits, aligned)
    every = np.arange(codes)
    places = set()
    for slot in range(len(positions)):
        word, bit = packing.place(every, slot)
        assert word.max() < packing.words and bit.max() < word_bits
        found, of_slot = packing.find(word, bit)
        assert np.array_equal(found, every) and (of_slot == slot).all()
        places |= set(zip(word.tolist(), bit.tolist()))
    assert len(places) == codes * len(positions)


@given(codes=st.integers(1, 60), width=st.integers(1, 8), aligned=st.booleans())
def test_what_is_not_a_bit_of_a_code_is_padding(codes, width, aligned):
    packing = Packing(codes, tuple(range(width)), 32, aligned)
    word, bit = np.divmod(np.arange(packing.words * 32), 32)
    code, _ = packing.find(word, bit)
    assert (code >= 0).sum() == codes * width


def test_an_aligned_code_lies_in_one_memory_word():
    packing = Packing(50, (0, 1, 2), 32, aligned=True)
    words = [packing.place(np.arange(50), slot)[0] for slot in range(3)]
    assert np.array_equal(words[0], words[1]) and np.array_equal(words[0], words[2])


@given(
    words=st.integers(1, 100),
    cells=st.integers(1, 72),
    groups=st.integers(1, 4),
    interleaving=st.integers(1, 5),
)
def test_each_cell_is_found_where_it_was_put(words, cells, groups, interleaving):
    array = Array(words, cells, groups * interleaving, interleaving)
    word, bit = np.divmod(np.arange(words * cells), cells)
    row, column = array.cell(word, bit)
    assert row.max() < array.rows and column.max() < array.row_cells
    assert all(np.array_equal(a, b) for a, b in zip(array.find(row, column), (word, bit)))
    assert len(set(zip(row.tolist(), column.tolist()))) == words * cells


def test_neighbours_belong_to_different_words_when_interleaved():
    array = Array(8, 39, 8, 4)
    word, bit = array.find(np.zeros(5, int), np.arange(5))
    assert (word.tolist(), bit.tolist()) == ([0, 1, 2, 3, 0], [0, 0, 0, 0, 1])


def test_interleaving_must_divide_the_row():
    with pytest.raises(ValidationError, match="must divide row_words"):
        MemorySettings(row_words=32, interleaving=5)
