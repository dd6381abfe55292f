"""How many cells of a whole memory are struck, given that something may be read wrong. No torch.

A memory is made of independent units: a cell that nothing protects, a memory word of a code, the
three copies of a bit. In a unit with fewer than ``least`` struck cells everything is read right,
whatever is stored; one that has more is dangerous. With P the probability that any unit is, the
expected accuracy drop is P times that of the trials in which one is: no trial need be spent on the
others, and no unit that is not dangerous need be drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from scipy import special

from .counts import upset_count
from .seeding import Stream

Floats = npt.NDArray[np.float64]


class Kind(NamedTuple):
    """``units`` independent units of ``cells`` cells each, dangerous from ``least`` struck on."""

    units: int
    cells: int
    least: int

    def chance(self, rate: float) -> float:
        """Probability that one unit is dangerous, if each cell is struck with ``rate``."""
        if self.least == 1:
            return _some(self.cells, rate)
        return float(special.bdtrc(self.least - 1, self.cells, rate))

    def mean_absence(self, rate: float) -> float:
        """-ln of the probability that no unit is dangerous."""
        chance = self.chance(rate)
        if self.least == 1 and rate < 1.0:
            return -self.units * self.cells * math.log1p(-rate)
        return math.inf if chance >= 1.0 else -self.units * math.log1p(-chance)


class Struck(NamedTuple):
    """Of one kind in one trial: dangerous units, and struck cells in them."""

    units: int
    cells: int


@dataclass(frozen=True)
class Population:
    """All units of a memory. ``factor``: the rate at which a cell is struck (of clusters: at which
    an event begins there), as a multiple of the BER."""

    kinds: Tuple[Kind, ...]
    factor: float = 1.0

    def rate(self, ber: float) -> float:
        return min(self.factor * ber, 1.0)

    def chance(self, ber: float) -> float:
        """Probability that any unit is dangerous. Keeps its digits however small it is."""
        return -math.expm1(-self.absence(ber))

    def absence(self, ber: float) -> float:
        """-ln of the probability that no unit is dangerous."""
        return sum(kind.mean_absence(self.rate(ber)) for kind in self.kinds if kind.units)

    def counts(self, ber: float, words: Sequence[Tuple[int, int]]) -> Tuple[int, ...]:
        """Dangerous units of each kind, given that there is one, for two random 64-bit words a
        kind. Of a single kind: does not decrease with ``ber``.

        Kind by kind, while none has one: P(this one has) = (1 - e^-a) / (1 - e^-A), with e^-a the
        probability that this one has none, and e^-A that it and all kinds behind it have none.
        """
        rate = self.rate(ber)
        absences = [kind.mean_absence(rate) if kind.units else 0.0 for kind in self.kinds]
        found, some = [], False
        for j, kind in enumerate(self.kinds):
            chance, least = kind.chance(rate), 0
            if not some:
                whole = math.fsum(absences[j:])
                has = math.expm1(-absences[j]) / math.expm1(-whole) if whole else 0.0
                least = int(words[j][0] < has * (1 << 64))
            n = 0
            if kind.units and chance > 0.0 and (some or least):
                n = upset_count(words[j][1], kind.units, chance, least)
            found.append(n)
            some = some or n > 0
        return tuple(found)

    def log_densities(self, ber: float, struck: Floats) -> Floats:
        """ln of the probability of trials with so many struck units and cells (``struck[..., j]``:
        those two of kind j), given that a unit is dangerous; but for a term that does not depend
        on ``ber``. Needs a rate below 1 and a probability above 0 that one is."""
        rate = self.rate(ber)
        total = np.full(struck.shape[:-2], -math.log(self.chance(ber)))
        for j, kind in enumerate(self.kinds):
            units, cells = struck[..., j, 0], struck[..., j, 1]
            absence = kind.mean_absence(rate) / kind.units
            whole = units * kind.cells - cells
            total += cells * math.log(rate) + whole * math.log1p(-rate)
            total -= absence * (kind.units - units)
        return total


def _some(n: int, rate: float) -> float:
    return 1.0 if rate >= 1.0 else -math.expm1(n * math.log1p(-rate))


def count_words(seed: int, trial: int, kinds: int) -> Tuple[Tuple[int, int], ...]:
    """What :meth:`Population.counts` is asked with: the same at every BER."""
    stream = Stream(seed, "units that are struck", trial)
    return tuple((stream.word(), stream.word()) for _ in range(kinds))
