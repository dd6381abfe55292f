"""Whether an injector did what it was asked to do: a run that did not is an error."""

from __future__ import annotations

import warnings
from typing import List, Mapping, Optional, Protocol, Sequence

from .errors import InjectionError, SeuWarning
from .exposure import ExposedSite
from .fault_map import FaultMap
from .forward_state import ForwardState
from .statistics import SiteStatistics, check_upsets


class Checked(Protocol):
    """Something that is exposed, and can say what it has seen."""

    def check(self) -> None: ...
    def statistics(self) -> SiteStatistics: ...


def check_injection(
    owner: object,
    exposed: Sequence[ExposedSite],
    state: ForwardState,
    given: Optional[Mapping[str, FaultMap]],
    others: Sequence[Checked] = (),
) -> None:
    """Raise InjectionError if nothing was injected, or not what the fault model says, or not what
    was ``given``; warn of sites that no forward passed through."""
    sites: List[Checked] = [*(one for one in exposed if one.exposed), *others]
    for one in sites:
        one.check()
    statistics = [one.statistics() for one in sites]
    if given is not None:
        _check_given(statistics, given, exposed, state)
        return
    check_upsets(statistics)
    _check_count(statistics, state)
    sites_of_weights = {one.site.name for one in exposed if one.exposed}
    used = any(s.bits for s in statistics)
    # Of switchable BatchNorms and of float32 inputs most are not used: no reason to warn.
    unexposed = [
        s.name for s in statistics if not s.bits and (s.name in sites_of_weights or not used)
    ]
    if not unexposed or not state.settings.injects:
        return
    if len(unexposed) == len(statistics):
        raise InjectionError(f"{owner!r} was asked to inject and did not: {_why(exposed, state)}")
    names = ", ".join(unexposed)
    warnings.warn(f"{owner!r}: no forward passed through {names}", SeuWarning, stacklevel=5)


def _check_given(
    statistics: Sequence[SiteStatistics],
    given: Mapping[str, FaultMap],
    exposed: Sequence[ExposedSite],
    state: ForwardState,
) -> None:
    made = {s.name: s for s in statistics}
    for name, fault_map in given.items():
        if made[name].upsets != fault_map.upsets * max(made[name].maps, 1):
            raise InjectionError(
                f"site {name!r} was to have {fault_map.upsets} upsets and had "
                f"{made[name].upsets}: {_why(exposed, state)}"
            )


def _check_count(statistics: Sequence[SiteStatistics], state: ForwardState) -> None:
    settings = state.settings
    maps = {s.maps for s in statistics}
    if settings.mode == "exact_count" and len(maps) == 1:
        made, wanted = sum(s.upsets for s in statistics), settings.upsets * max(maps)
        if made != wanted:
            raise InjectionError(f"self-check failed: {made} upsets were made, and {wanted} wanted")


def _why(exposed: Sequence[ExposedSite], state: ForwardState) -> str:
    if any(one.counter.forwards for one in exposed):
        return f"no word of its sites has a bit at the selected positions {state.settings.bits}"
    if not state.used_clean:
        return "not one forward passed through a selected site"
    return f"its sites were only used {' and '.join(state.used_clean)}, where it does not inject"
