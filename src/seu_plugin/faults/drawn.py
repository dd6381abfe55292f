"""What a fault model drew, for the self-check."""

from __future__ import annotations

from typing import NamedTuple


class Drawn(NamedTuple):
    """A number that a fault model drew from Binomial(``cells``, ``rate``)."""

    what: str
    struck: int
    cells: int
    rate: float
