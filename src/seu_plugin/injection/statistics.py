"""What was exposed, what was upset, and whether the two agree. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Iterable, Optional, Tuple

from scipy import special

from ..errors import InjectionError
from ..faults.drawn import Drawn
from ..faults.mechanisms import PLACED

#: Probability that the self-check alarms on a correct run (two-sided).
FALSE_ALARM = 1e-9


@dataclass(frozen=True)
class SiteStatistics:
    """Sums over the fault maps that a site has seen since ``enable``.

    ``words`` and ``bits`` count memory under exposure (each map exposes all words of the site
    and the selected bits of each), ``upsets`` bits changed, ``words_hit`` words with at least
    one upset; ``maps`` fault maps drawn, ``forwards`` uses by the layer under injection;
    ``widths`` the widths in bits it was used at, in order of appearance.

    Of protected memory: ``check_bits`` further cells (check bits, copies) under exposure, whose
    upsets are counted, too; ``residual`` bits that were read wrong after decoding (of memory
    without protection: the upsets; ``words_hit`` goes by these); ``corrected`` and ``detected``
    memory words that were put right, and that were given up. ``drawn``: what another fault model
    than ``ber`` drew, for the self-check. ``nan_inf``: words of floats read as NaN or Inf.
    ``adapter``: the one that found the site; empty for what is exposed besides weights.
    """

    name: str
    ber: float
    words: int = 0
    bits: int = 0
    upsets: int = 0
    words_hit: int = 0
    maps: int = 0
    forwards: int = 0
    widths: Tuple[int, ...] = ()
    check_bits: int = 0
    residual: int = 0
    corrected: int = 0
    detected: int = 0
    nan_inf: int = 0
    mode: str = "ber"
    drawn: Tuple[Drawn, ...] = ()
    adapter: str = ""

    @property
    def expected(self) -> Optional[float]:
        """Expected upsets: stored bits * BER; None where it depends on what is stored."""
        if self.mode in ("stuck_at", "asymmetric", *PLACED):
            return None
        return (self.bits + self.check_bits) * self.ber


@dataclass
class Counter:
    """Accumulates a :class:`SiteStatistics`."""

    name: str
    adapter: str = ""
    words: int = 0
    bits: int = 0
    upsets: int = 0
    words_hit: int = 0
    maps: int = 0
    forwards: int = 0
    widths: Dict[int, None] = field(default_factory=dict)  # an ordered set
    check_bits: int = 0
    residual: int = 0
    corrected: int = 0
    detected: int = 0
    nan_inf: int = 0
    drawn: Dict[Tuple[str, float], Tuple[int, int]] = field(default_factory=dict)

    def add(
        self, upsets: int, residual: int, words_hit: int, corrected: int, detected: int
    ) -> None:
        """One more fault map was read."""
        self.upsets += upsets
        self.residual += residual
        self.words_hit += words_hit
        self.corrected += corrected
        self.detected += detected

    def note(self, drawn: Iterable[Drawn]) -> None:
        """One more fault map was drawn."""
        for one in drawn:
            struck, cells = self.drawn.get((one.what, one.rate), (0, 0))
            self.drawn[one.what, one.rate] = struck + one.struck, cells + one.cells

    def frozen(self, ber: float, mode: str = "ber") -> SiteStatistics:
        values = dict(vars(self), widths=tuple(self.widths))
        values["drawn"] = tuple(
            Drawn(what, struck, cells, rate) for (what, rate), (struck, cells) in self.drawn.items()
        )
        return SiteStatistics(ber=ber, mode=mode, **values)


def tail_probability(upsets: int, bits: int, ber: float) -> float:
    """Two-sided tail probability of ``upsets`` under Binomial(``bits``, ``ber``), at most 1."""
    if ber <= 0.0 or ber >= 1.0:
        return 1.0 if upsets == bits * ber else 0.0
    # The binomial tails as incomplete beta functions: bdtr and bdtrc take 32-bit numbers only.
    low = special.betainc(bits - upsets, upsets + 1, 1.0 - ber) if upsets < bits else 1.0
    high = special.betainc(upsets, bits - upsets + 1, ber) if upsets > 0 else 1.0
    return float(min(1.0, 2.0 * min(low, high)))


def check_upsets(sites: Iterable[SiteStatistics]) -> None:
    """Raise InjectionError if upsets, of a site or in all, contradict the BER.

    The interval has probability 1 - 1e-9: a correct run never meets it in practice.
    """
    sites = list(sites)
    for site in sites:
        for one in site.drawn:
            _check(f"site {site.name!r} ({one.what})", one.struck, one.cells, one.rate)
    sites = [
        site for site in sites if not site.drawn and site.mode == "ber" and not site.check_bits
    ]
    for site in sites:
        _check(f"site {site.name!r}", site.upsets, site.bits, site.ber)
    if sites:
        upsets, bits = sum(s.upsets for s in sites), sum(s.bits for s in sites)
        _check("all sites together", upsets, bits, sites[0].ber)


def _check(where: str, upsets: int, bits: int, ber: float) -> None:
    if bits and tail_probability(upsets, bits, ber) < FALSE_ALARM:
        raise InjectionError(
            f"self-check failed: {where} had {upsets} upsets in {bits} bits, "
            f"expected {bits * ber:.6g} at BER {ber:g}"
        )
