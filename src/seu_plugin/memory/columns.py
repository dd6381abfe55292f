"""In which order the data bits of a SECDED word take the columns of its code. No torch.

The code is the same in every order, for upsets that do not know of each other. What clusters do is
not: three neighbouring upsets are miscorrected where their columns add up to another column, and
four are not even detected where theirs add up to nothing. Standards fix no order; hardware has its
own.
"""

from __future__ import annotations

from functools import cache
from typing import List, Sequence, Tuple

#: lexicographic: columns of three ones as combinations are listed, then the others. burst: such
#: that few, or no, neighbouring triples are miscorrected, and no neighbouring quad goes unseen.
LEXICOGRAPHIC, BURST = "lexicographic", "burst"
ORDERS = (LEXICOGRAPHIC, BURST)


def of_neighbours(columns: Sequence[int], check_bits: int) -> Tuple[int, int]:
    """How many of the triples of neighbouring data bits are miscorrected, and how many of the quads
    go unseen."""
    every = _corrected(columns, check_bits)
    triples = zip(columns, columns[1:], columns[2:])
    quads = zip(columns, columns[1:], columns[2:], columns[3:])
    return sum(a ^ b ^ c in every for a, b, c in triples), sum(
        a ^ b ^ c ^ d == 0 for a, b, c, d in quads
    )


@cache
def for_bursts(columns: Tuple[int, ...], check_bits: int) -> Tuple[int, ...]:
    """``columns`` in another order: from each first one on, the next is always one that makes the
    fewest bad triples and quads; of all firsts, the best."""
    every = _corrected(columns, check_bits)

    def price(chosen: List[int], column: int) -> int:
        triple = len(chosen) > 1 and chosen[-2] ^ chosen[-1] ^ column in every
        quad = len(chosen) > 2 and chosen[-3] ^ chosen[-2] ^ chosen[-1] ^ column == 0
        return triple + len(columns) * quad  # what is not even detected is worse

    def ordered(first: int) -> Tuple[int, ...]:
        chosen, left = [first], [column for column in columns if column != first]
        while left:
            left.remove(found := min(left, key=lambda column: price(chosen, column)))
            chosen.append(found)
        return tuple(chosen)

    several = [ordered(first) for first in columns]
    return min(several, key=lambda one: of_neighbours(one, check_bits)[::-1])


def check_columns(columns: Sequence[int], data_bits: int, check_bits: int) -> None:
    """Raise ValueError for columns that are not those of a SECDED code with odd weights."""
    if len(columns) != data_bits or len(set(columns)) != data_bits:
        raise ValueError(
            f"must be {data_bits} distinct columns; received {len(columns)}, of which "
            f"{len(set(columns))} are distinct"
        )
    for column in columns:
        if not 0 < column < 1 << check_bits or bin(column).count("1") % 2 == 0:
            raise ValueError(
                f"must be columns of {check_bits} bits with an odd number of ones; one is {column}"
            )
        if bin(column).count("1") == 1:
            raise ValueError(f"must not be that of a check bit, with a single one; one is {column}")


def _corrected(columns: Sequence[int], check_bits: int) -> frozenset[int]:
    """Syndromes that are taken for a single upset."""
    return frozenset((*columns, *(1 << i for i in range(check_bits))))
