"""What a radiation test counted: upsets over an exposure, and the interval of their rate. No torch.

Upsets arrive as a Poisson process; their number in a test has the exact interval of Garwood
(F. Garwood, Fiducial limits for the Poisson distribution, Biometrika 28, 1936), which JESD89B and
test reports state in chi-square form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from scipy import special  # scipy.stats takes a third of a second to import


def garwood(count: int, confidence: float) -> Tuple[float, float]:
    """Both ends of the exact interval of a Poisson mean of which ``count`` were seen, each with
    half of what ``confidence`` leaves; the lower one of 0 is 0. Conservative: it holds the mean
    with at least ``confidence``."""
    tail = (1.0 - confidence) / 2.0
    low = float(special.gammaincinv(count, tail)) if count else 0.0
    return low, float(special.gammainccinv(count + 1, tail))


@dataclass(frozen=True)
class Counted:
    """``number`` of ``what`` (upsets, or events that upset several bits) in ``bit_seconds``."""

    what: str
    number: int
    bit_seconds: float

    @property
    def per_bit_second(self) -> float:
        """The rate: events of a bit and second."""
        return self.number / self.bit_seconds

    def interval(self, confidence: float) -> Tuple[float, float]:
        """Of that rate."""
        low, high = garwood(self.number, confidence)
        return low / self.bit_seconds, high / self.bit_seconds
