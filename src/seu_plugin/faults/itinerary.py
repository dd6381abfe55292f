"""When a mission is looked at, and how many upsets its memory has met by then. No torch.

Time is that of the mission in seconds, from 0 on. ``rates`` change at given times (the environments
of an orbit, say); what counts is the exposure, the upsets of a bit up to a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from .seeding import Stream

Floats = npt.NDArray[np.float64]
_WORD = 1 << 64
#: Times at which a mission is looked at.
MOST_POINTS = 1000
#: 2**64 divided by the golden ratio: multiples of it are spread evenly (Weyl 1916).
_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Itinerary:
    """A mission of ``duration``, whose memory is scrubbed every ``period``: as a whole at its
    multiples, or ``sweeping``, cell after cell in the order of addresses, over each period. A
    period that is no shorter than the duration is no scrub. ``read_every``: how often
    everything is read, and what a code corrects is written back; None: never.

    ``rates``: by which end of their interval is meant (the empty string: as measured), upsets of a
    bit and second from each time on, the first of which is 0.
    """

    duration: float
    period: float
    points: int
    rates: Mapping[str, Tuple[Tuple[float, float], ...]]
    sweeping: bool = False
    read_every: Optional[float] = None

    def times(self, seed: int, number: int) -> Floats:
        """When mission ``number`` is looked at: one time in each of ``points`` equal parts, at the
        same place of each. That place is uniform and, over missions, spread evenly, so that means
        over times are unbiased however few they are. float64 of shape [points]."""
        first = Stream(seed, "times of missions").word()
        place = (first + number * _GOLDEN) % _WORD / _WORD
        parts = np.arange(self.points, dtype=np.float64)
        return np.asarray((parts + place) * (self.duration / self.points))

    def exposure(self, rate: str, time: float) -> float:
        """Upsets of a bit up to ``time``."""
        times, exposures, last = self._knots(rate)
        if time >= times[-1]:
            return float(exposures[-1] + (time - times[-1]) * last)
        return float(np.interp(time, times, exposures))

    def time_of(self, rate: str, exposure: Floats) -> Floats:
        """The inverse."""
        times, exposures, last = self._knots(rate)
        beyond = times[-1] + (exposure - exposures[-1]) / last
        found = np.interp(exposure, exposures, times)
        return np.asarray(np.where(exposure >= exposures[-1], beyond, found))

    def _knots(self, rate: str) -> Tuple[Floats, Floats, float]:
        times = np.array([start for start, _ in self.rates[rate]])
        rates = np.array([often for _, often in self.rates[rate]])
        met = np.concatenate(([0.0], np.cumsum(np.diff(times) * rates[:-1])))
        return times, met, float(rates[-1])

    @property
    def most_exposure(self) -> float:
        """Upsets of a bit in a period, at the highest of all rates."""
        highest = max(often for several in self.rates.values() for _, often in several)
        return highest * min(self.period, self.duration)

    def document(self) -> Dict[str, Any]:
        """For the manifest: what decides what a trial of a mission gives."""
        return {
            "duration": self.duration,
            "period": self.period,
            "points": self.points,
            "rates": {name: [list(one) for one in several] for name, several in self.rates.items()},
            "scrubbing": "sweeping" if self.sweeping else "all_at_once",
            "read_every": self.read_every,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Itinerary:
        """The inverse of :meth:`document`. Raises ValueError, KeyError, TypeError or AttributeError
        for what is none."""
        rates = {
            str(name): tuple((float(start), float(often)) for start, often in several)
            for name, several in document["rates"].items()
        }
        read_every = document["read_every"]
        found = cls(
            float(document["duration"]),
            float(document["period"]),
            int(document["points"]),
            rates,
            document["scrubbing"] == "sweeping",
            None if read_every is None else float(read_every),
        )
        lengths = (found.duration, found.period, 1.0 if read_every is None else found.read_every)
        several = [often for one in found.rates.values() for _, often in one]
        if not all(0.0 < value < math.inf for value in (*lengths, *several) if value is not None):
            raise ValueError("a time or a rate is not above 0")
        if "" not in rates or not all(rates.values()) or not 1 <= found.points <= MOST_POINTS:
            raise ValueError("its rates or points cannot be")
        return found
