"""What a campaign runs: trials with names that never change. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .packed_bits import plain_bytes

GOLDEN = "golden"


@dataclass(frozen=True)
class Trial:
    """One fault map over all sites, evaluated once.

    Of the BER fault model: ``ber`` and the number of the draw. Of a stratum of a sensitivity
    study: ``site`` and ``bit`` (None: any), how many upsets are ``placed`` there, and the number
    of the draw (``exhaustive``: of the word). Of a mission: its number, at which ``moment`` it is
    looked at, and at which end of the ``rate``'s interval (None: as measured).
    """

    number: int
    ber: Optional[float] = None
    site: Optional[str] = None
    bit: Optional[int] = None
    placed: int = 0
    exhaustive: bool = False
    moment: Optional[int] = None
    rate: Optional[str] = None

    @property
    def id(self) -> str:
        """As in ``trials.jsonl``: ``golden``, ``0.001:7``, ``layer1.0.conv1#3:7`` (with ``x2`` for
        two upsets), ``layer1.0.conv1#3:word7`` where every word is tried; ``mission@3:7``, at the
        higher rate ``mission high@3:7``."""
        if self == Trial(0):
            return GOLDEN
        if self.ber is not None:
            return f"{self.ber!r}:{self.number}"
        if self.moment is not None:
            rate = f" {self.rate}" if self.rate else ""
            return f"mission{rate}@{self.moment}:{self.number}"
        several = f"x{self.placed}" if self.placed > 1 else ""
        number = f"word{self.number}" if self.exhaustive else self.number
        return f"{stratum(self.site, self.bit)}{several}:{number}"


def stratum(site: Optional[str], bit: Optional[int]) -> str:
    """Name of a part of the memory: a site, a bit position, or a bit position of a site."""
    return f"{'*' if site is None else site}#{'*' if bit is None else bit}"


@dataclass(frozen=True)
class Outcomes:
    """Images by what became of their outputs, compared with the golden run: ``masked`` bit for
    bit the same, ``tolerable`` changed and the top-1 class the same, ``critical`` another top-1
    class, ``nan_inf`` not a number any more."""

    masked: int = 0
    tolerable: int = 0
    critical: int = 0
    nan_inf: int = 0

    @property
    def images(self) -> int:
        return self.masked + self.tolerable + self.critical + self.nan_inf


@dataclass(frozen=True)
class TrialResult:
    """What a trial gave. ``metrics``: top-1 in percent, one for each architecture evaluated;
    ``upsets_by_site`` leaves out sites without one; ``ran`` is False for a trial without an
    wrong bit, which has the golden result; ``seconds`` is the time it took. Of protected memory:
    ``residual`` bits read wrong, ``corrected`` and ``detected`` memory words. Of the golden run:
    ``digest``, of each image and its outputs, which tells other data. Drawn given that something
    may be read wrong: ``struck``, the (dangerous units, struck cells) of each kind of the
    manifest's ``population``. Where labels are known, for each architecture the images that are
    classified right in the golden run (``right``), and those whose being so a trial changed
    (``changed``), as :func:`~.packed_bits.packed` writes them; ``wrong_to_wrong``: how many a trial
    gave another wrong class. ``margin``: by how much the mean logit margin of the golden run's
    classes changed, over images with finite outputs, each bounded by the largest there. Of the run
    alone, in no row: ``reused``, how much of its work it took from the golden run, of 1;
    ``differs``, where the host's data were not those of that."""

    trial: Trial
    metrics: Tuple[float, ...]
    upsets: int = 0
    words_hit: int = 0
    bits: int = 0
    upsets_by_site: Mapping[str, int] = field(default_factory=dict)
    outcomes: Optional[Outcomes] = None
    ran: bool = True
    seconds: float = 0.0
    residual: Optional[int] = None
    corrected: Optional[int] = None
    detected: Optional[int] = None
    digest: Optional[str] = None
    struck: Optional[Tuple[Tuple[int, int], ...]] = None
    images: Optional[int] = None
    right: Optional[Tuple[str, ...]] = None
    changed: Optional[Tuple[str, ...]] = None
    wrong_to_wrong: Optional[Tuple[int, ...]] = None
    margin: Optional[float] = None
    reused: Optional[float] = field(default=None, compare=False)
    differs: Optional[str] = field(default=None, compare=False)

    def row(self) -> Dict[str, Any]:
        """The JSON object of ``trials.jsonl``."""
        row = asdict(self)
        del row["reused"], row["differs"]
        for name in ("residual", "corrected", "detected", "digest", *_LATER):
            if row[name] is None:  # not protected; not the golden run; drawn plainly
                del row[name]
        trial = row.pop("trial")
        for name in ("moment", "rate"):  # of missions alone
            if trial[name] is None:
                del trial[name]
        return {"id": self.trial.id, **trial, **row}


#: Of rows that earlier versions did not write.
_LATER = ("struck", "images", "right", "changed", "wrong_to_wrong", "margin")


def _same_bits(ours: Tuple[str, ...], theirs: Tuple[str, ...]) -> bool:
    """Whether texts of packed bits mean the same: another library may compress them otherwise."""
    try:
        return [plain_bytes(one) for one in ours if one] == [
            plain_bytes(one) for one in theirs if one
        ] and [bool(one) for one in ours] == [bool(one) for one in theirs]
    except ValueError:
        return False


def same(one: TrialResult, other: TrialResult) -> bool:
    """Whether two results agree in all but the time they took, and what one of them does not say
    (as folders of version 0.1.0 do not say ``digest``)."""
    for name in ("digest", "images", "right", "changed", "wrong_to_wrong"):
        if None in (getattr(one, name), getattr(other, name)):
            nothing: Dict[str, Any] = {name: None}
            one, other = replace(one, **nothing), replace(other, **nothing)
    for name in ("right", "changed"):
        ours, theirs = getattr(one, name), getattr(other, name)
        if ours != theirs and _same_bits(ours, theirs):
            other = replace(other, **{name: ours})
    # A sum of floats may be rounded otherwise elsewhere.
    return replace(one, seconds=0.0, margin=None) == replace(other, seconds=0.0, margin=None)


def grid(bers: Tuple[float, ...], first: int, last: int) -> List[Trial]:
    """Trials ``first`` ... ``last`` - 1 at each BER."""
    return [Trial(number, ber) for ber in bers for number in range(first, last)]
