"""Parity and SECDED codes: what a decoder makes of upsets in a code word. No torch.

Codes are linear: what is decoded depends on which bits of the code word are upset, not on the data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from typing import List, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from .columns import LEXICOGRAPHIC, for_bursts
from .schemes import NONE, PARITY, SECDED_39_32, SECDED_72_64, TMR

Words = npt.NDArray[np.uint64]
Checks = npt.NDArray[np.int32]
#: The name of an order of columns.py, or the columns in order.
Columns = Union[str, Tuple[int, ...]]

#: What a syndrome tells besides the number of the bit to correct.
CLEAN, DETECTED = -1, -2


class Decoded(NamedTuple):
    """``data``: upsets left in the data bits of each word; uint64. ``corrected``, ``detected``:
    whether the decoder changed a bit, or gave up."""

    data: Words
    corrected: npt.NDArray[np.bool_]
    detected: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Code:
    """A code word is ``data_bits`` data bits and ``check_bits`` check bits. ``columns[i]``: the
    check bits that data bit i takes part in (a column of the parity-check matrix). ``corrects``:
    whether a syndrome that is a column is taken for an upset of that bit."""

    name: str
    data_bits: int
    check_bits: int
    columns: Tuple[int, ...]
    corrects: bool

    @property
    def cells(self) -> int:
        return self.data_bits + self.check_bits

    def checks(self, data: Words) -> Checks:
        """The check bits of data words, also the syndrome of upsets in them; int32 [n]."""
        found = np.zeros(data.shape, dtype=np.int32)
        for i, table in enumerate(_byte_tables(self.columns)):
            found ^= table[(data >> np.uint64(8 * i)).astype(np.int64) & 0xFF]
        return found

    def decode(self, data: Words, check: Checks) -> Decoded:
        """What is left of upsets ``data`` and ``check`` of each word after decoding."""
        action = actions(self)[self.checks(data) ^ check]
        corrected, detected = action >= 0, action == DETECTED
        in_data = corrected & (action < self.data_bits)
        bit = np.where(in_data, action, 0).astype(np.uint64)
        left = np.where(in_data, data ^ (np.uint64(1) << bit), data)
        return Decoded(left, corrected, detected)


@cache
def _byte_tables(columns: Tuple[int, ...]) -> List[Checks]:
    """For each byte of a data word, the check bits of its 256 values."""
    tables = []
    for start in range(0, len(columns), 8):
        table = np.zeros(256, dtype=np.int32)
        for i, column in enumerate(columns[start : start + 8]):
            table[1 << i : 2 << i] = table[: 1 << i] ^ column
        table[1 << len(columns[start : start + 8]) :] = 0
        tables.append(table)
    return tables


@cache
def actions(code: Code) -> npt.NDArray[np.int64]:
    """By syndrome: the bit to correct (check bits follow the data bits), CLEAN or DETECTED."""
    actions = np.full(1 << code.check_bits, DETECTED, dtype=np.int64)
    actions[0] = CLEAN
    if code.corrects:
        singles = [1 << i for i in range(code.check_bits)]
        for bit, column in enumerate((*code.columns, *singles)):
            actions[column] = bit
    return actions


def parity(data_bits: int) -> Code:
    """One even parity bit for ``data_bits`` data bits: detects an odd number of upsets."""
    return Code(PARITY, data_bits, 1, (1,) * data_bits, corrects=False)


def _of_weight(check_bits: int, weight: int) -> List[int]:
    return [sum(1 << i for i in chosen) for chosen in combinations(range(check_bits), weight)]


def _secded_72_64() -> Code:
    # All 56 columns of weight 3, and 8 of weight 5 that are turns of each other: every check bit
    # covers 26 data bits.
    turned = [sum(1 << (start + i) % 8 for i in range(5)) for start in range(8)]
    return Code(SECDED_72_64, 64, 8, (*_of_weight(8, 3), *turned), corrects=True)


def _secded_39_32() -> Code:
    # 32 of the 35 columns of weight 3; without these three, check bits cover 13 or 14 data bits.
    left_out = (0b0000111, 0b0111000, 0b1000011)
    columns = tuple(column for column in _of_weight(7, 3) if column not in left_out)
    return Code(SECDED_39_32, 32, 7, columns, corrects=True)


#: Single error correction, double error detection, with columns of odd weight (M. Y. Hsiao, A
#: class of optimal minimum odd-weight-column SEC-DED codes, IBM J. Res. Dev. 14, 1970).
SECDED: Mapping[str, Code] = {code.name: code for code in (_secded_72_64(), _secded_39_32())}


def code_of(scheme: str, data_bits: int, columns: Columns = LEXICOGRAPHIC) -> Optional[Code]:
    """The code of a memory word under a scheme of schemes.py; None for those that have none,
    ``none`` and ``tmr``. ``data_bits``: of a parity bit; ``columns``: of a SECDED word, an order or
    the columns themselves. Raises KeyError for an unknown one."""
    if scheme == PARITY:
        return parity(data_bits)
    if scheme in (NONE, TMR):
        return None
    code = SECDED[scheme]
    if columns == LEXICOGRAPHIC:
        return code
    if isinstance(columns, str):
        return replace(code, columns=for_bursts(code.columns, code.check_bits))
    return replace(code, columns=tuple(columns))
