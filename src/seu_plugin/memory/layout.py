"""Where stored bits lie: codes packed into memory words, memory words in rows of cells. No torch.

A site is an array of its own, which begins with a new row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Tuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, StrictInt, field_validator, model_validator

from ..fields import Frozen, integer

Ints = npt.NDArray[np.int64]


class MemorySettings(Frozen):
    """The memory that holds the codes."""

    word_bits: StrictInt = Field(
        32, ge=1, le=64, description="data bits of a memory word; a SECDED scheme says its own"
    )
    row_words: StrictInt = Field(32, ge=1, le=1 << 16, description="memory words in a physical row")
    interleaving: StrictInt = Field(
        1,
        ge=1,
        le=1 << 16,
        description="memory words whose bits take turns along a row: neighbouring cells belong to "
        "different words",
    )
    packing: Literal["tight", "aligned"] = Field(
        "tight",
        description="tight: codes follow each other without a gap, also across memory "
        "words; aligned: no code lies in two memory words",
    )

    _integers = field_validator("word_bits", "row_words", "interleaving", mode="before")(integer)

    @model_validator(mode="after")
    def _divides(self) -> MemorySettings:
        if self.row_words % self.interleaving:
            raise ValueError(
                f"interleaving ({self.interleaving}) must divide row_words ({self.row_words})"
            )
        return self


@dataclass(frozen=True)
class Packing:
    """How bits ``positions`` (ascending) of ``codes`` codes fill memory words of ``word_bits``.

    The first of a code's stored bits comes first, bit 0 of a memory word is its first.
    """

    codes: int
    positions: Tuple[int, ...]
    word_bits: int
    aligned: bool = False

    @property
    def codes_per_word(self) -> int:
        """Of aligned packing."""
        return self.word_bits // len(self.positions)

    @property
    def words(self) -> int:
        """Memory words used, the last one perhaps in part."""
        if self.aligned:
            return -(-self.codes // self.codes_per_word)
        return -(-self.codes * len(self.positions) // self.word_bits)

    def place(self, code: Ints, slot: int) -> Tuple[Ints, Ints]:
        """Memory word and bit in it of bit ``positions[slot]`` of each ``code``."""
        k = len(self.positions)
        if self.aligned:
            return code // self.codes_per_word, code % self.codes_per_word * k + slot
        bit = code * k + slot
        return bit // self.word_bits, bit % self.word_bits

    def find(self, word: Ints, bit: Ints) -> Tuple[Ints, Ints]:
        """The inverse: code and slot; code -1 where there is only padding."""
        k = len(self.positions)
        if self.aligned:
            code = word * self.codes_per_word + bit // k
            padding = bit >= self.codes_per_word * k
            slot = bit % k
        else:
            code, slot = np.divmod(word * self.word_bits + bit, k)
            padding = np.zeros(code.shape, dtype=np.bool_)
        return np.where(padding | (code >= self.codes), -1, code), slot


@dataclass(frozen=True)
class Array:
    """The cells of ``words`` memory words of ``word_cells`` (data and check bits), in rows.

    With interleaving d, d neighbouring words of a row take turns bit by bit: bit b of the i-th of
    them is cell b * d + i of the group. The last row may hold cells that belong to no word.
    """

    words: int
    word_cells: int
    row_words: int
    interleaving: int = 1

    @property
    def rows(self) -> int:
        return -(-self.words // self.row_words)

    @property
    def row_cells(self) -> int:
        return self.row_words * self.word_cells

    @property
    def cells(self) -> int:
        return self.rows * self.row_cells

    def find(self, row: Ints, column: Ints) -> Tuple[Ints, Ints]:
        """Memory word and bit at these cells; word -1 where there is none."""
        group, inside = np.divmod(column, self.interleaving * self.word_cells)
        bit, lane = np.divmod(inside, self.interleaving)
        word = row * self.row_words + group * self.interleaving + lane
        return np.where(word < self.words, word, -1), bit

    def cell(self, word: Ints, bit: Ints) -> Tuple[Ints, Ints]:
        """The inverse: row and column."""
        row, inside = np.divmod(word, self.row_words)
        group, lane = np.divmod(inside, self.interleaving)
        start = group * self.interleaving * self.word_cells
        return row, start + bit * self.interleaving + lane
