"""The BER at which accuracy has dropped by so much: what is known of it. No torch.

At each BER the trials give the mean drop and intervals of it. The BERs whose interval holds
max_drop are the confidence set of the threshold (test inversion): between the first crossing of the
upper ends and the last one of the lower ends. The ends are the outer ends of the brackets:
interpolation cannot make them too narrow. The mean, and near-normal ends, are read from the curve
(:mod:`.curve`) where it has points; intervals that hold for any law, and those that cover other
images, only from BERs that trials were drawn at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .brackets import Bracket, Line, first_rise, interpolated, last_rise, passes
from .curve import CurvePoint
from .drops import Drops
from .intervals import Interval

#: BER -> the drops there.
ByBer = Mapping[float, Drops]


@dataclass(frozen=True)
class Threshold:
    """The BER at which the mean accuracy drop is ``max_drop`` percentage points.

    ``ber`` is interpolated. Intervals enclose it with ``confidence``: ``low`` and ``high`` if the
    drops of fault maps are near normal, ``any_law_low`` and ``any_law_high`` whatever their law,
    both for the images of the test set; ``two_way_low`` and ``two_way_high``, near normal, for
    other images as well (``two_way``: whether these are known). None: no BER that was evaluated
    lies on that side (low: the drop is never shown to be less, high: never shown to be more).
    ``reached``: whether the mean is ``max_drop`` or more at any. ``crossings``: all BERs at which
    the mean passes ``max_drop``, upwards or downwards; ``ber`` is where it first rises to it.
    """

    max_drop: float
    confidence: float
    ber: Optional[float]
    low: Optional[float]
    high: Optional[float]
    reached: bool = True
    crossings: Tuple[float, ...] = ()
    any_law_low: Optional[float] = None
    any_law_high: Optional[float] = None
    two_way: bool = False
    two_way_low: Optional[float] = None
    two_way_high: Optional[float] = None

    def sentence(self, of: str = "") -> str:
        """For people, as a sentence without its full stop. ``of``: whose accuracy it is."""
        drop = f"{self.max_drop:g} percentage point{'' if self.max_drop == 1 else 's'}"
        if self.ber is not None:
            return f"mean accuracy{of} has dropped by {drop} at {self.text()}{self._more()}"
        if self.reached:
            at = "already at the lowest BER that was evaluated"
            return f"mean accuracy{of} has dropped by {drop} {at}{self._more()}"
        low = self.headline[0]
        if low is None:
            shown = "at none is it shown to drop less"
        else:
            sure = f"{100 * self.confidence:g} %, {self._of}, if drops are near normal"
            shown = f"it is shown to drop less up to BER {low:.3g} ({sure})"
        return f"mean accuracy{of} has dropped by {drop} at no BER that was evaluated; {shown}"

    def text(self) -> str:
        """The BER for people, with its headline interval."""
        if self.ber is None:
            return f"{'below' if self.reached else 'above'} every BER that was evaluated"
        sure = f"{100 * self.confidence:g} % interval"
        low, high = self.headline
        ends = _ends(low, high)
        return f"BER {self.ber:.3g} ({sure} {ends}, {self._of}, if drops are near normal)"

    @property
    def _of(self) -> str:
        return "other images too" if self.two_way else "for these images"

    @property
    def headline(self) -> Tuple[Optional[float], Optional[float]]:
        """The interval to state first: that of other images too, where it is known."""
        if self.two_way:
            return self.two_way_low, self.two_way_high
        return self.low, self.high

    def others(self) -> str:
        """The other intervals, for people."""
        any_law = f"whatever the law of drops {_ends(self.any_law_low, self.any_law_high)}"
        if not self.two_way:
            return f"for these images, {any_law}"
        normal = f"near normal {_ends(self.low, self.high)}"
        return f"for these images alone: {normal}, {any_law}"

    def _more(self) -> str:
        others = [f"{ber:.3g}" for ber in self.crossings if ber != self.ber]
        return f"; the mean also passes that drop at {', '.join(others)}" if others else ""


def _ends(low: Optional[float], high: Optional[float]) -> str:
    return " ... ".join("unbounded" if end is None else f"{end:.3g}" for end in (low, high))


class At(NamedTuple):
    """What is known of the mean drop at one BER; intervals, where there are such. ``vary``: whether
    the drops of trials do; else the near-normal interval is made of that for any law."""

    ber: float
    mean: float
    normal: Interval
    any_law: Optional[Interval] = None
    two_way: Optional[Interval] = None
    vary: bool = True


def evidence(
    drops: ByBer,
    confidence: float,
    curve: Sequence[CurvePoint] = (),
    images: Optional[Mapping[float, Interval]] = None,
) -> List[At]:
    """By BER, of the trials drawn there and of the ``curve``; ``images``: two-way intervals at all
    BERs drawn, None where single images are not known."""
    points = {point.ber: point for point in curve if point.interval is not None}
    found: Dict[float, At] = {}
    for ber in {*drops, *points}:
        one, point = drops.get(ber), points.get(ber)
        any_law = None if one is None else one.any_law(confidence)
        two_way = None if one is None or images is None else images[ber]
        vary = one is None or one.vary()
        if point is not None and point.interval is not None and vary:
            found[ber] = At(ber, point.drop, point.interval, any_law, two_way)
        elif one is not None:
            mean = one.mean if point is None else point.drop
            found[ber] = At(ber, mean, one.normal(confidence), any_law, two_way, vary)
    return [found[ber] for ber in sorted(found)]


def estimate(known: Sequence[At], max_drop: float, confidence: float) -> Threshold:
    """What the evidence so far says of the threshold."""
    lines = lines_of(known)
    mean = lines.mean
    crossings = [interpolated(mean, bracket, max_drop) for bracket in passes(mean, max_drop)]
    kinds = (lines.normal, lines.any_law, lines.two_way)
    normal, any_law, two_way = (ends.around(max_drop) for ends in kinds)
    return Threshold(
        max_drop,
        confidence,
        ber=interpolated(mean, first_rise(mean, max_drop), max_drop),
        low=normal[0],
        high=normal[1],
        reached=any(value >= max_drop for _, value in mean),
        crossings=tuple(ber for ber in crossings if ber is not None),
        any_law_low=any_law[0],
        any_law_high=any_law[1],
        two_way=bool(lines.two_way.lower),
        # Of other images too, so of these: where the curve tells more of these, it holds that.
        two_way_low=_outer(min, normal[0], two_way[0]),
        two_way_high=_outer(max, normal[1], two_way[1]),
    )


def _outer(
    choose: Callable[[float, float], float], one: Optional[float], other: Optional[float]
) -> Optional[float]:
    return None if one is None or other is None else choose(one, other)


class Ends(NamedTuple):
    """Lower and upper ends of intervals of one kind, where there are such."""

    lower: Line
    upper: Line

    def around(self, level: float) -> Bracket:
        """The BERs whose interval may hold ``level``: from the first rise of upper ends to the last
        one of lower ends."""
        return first_rise(self.upper, level)[0], last_rise(self.lower, level)[1]


class Lines(NamedTuple):
    mean: Line
    normal: Ends
    any_law: Ends
    two_way: Ends


def lines_of(known: Sequence[At]) -> Lines:
    """The evidence, read as curves."""

    def ends(intervals: Sequence[Tuple[float, Optional[Interval]]]) -> Ends:
        some = [(ber, interval) for ber, interval in intervals if interval is not None]
        return Ends([(ber, i.low) for ber, i in some], [(ber, i.high) for ber, i in some])

    return Lines(
        [(at.ber, at.mean) for at in known],
        ends([(at.ber, at.normal) for at in known]),
        ends([(at.ber, at.any_law) for at in known]),
        ends([(at.ber, at.two_way) for at in known]),
    )
