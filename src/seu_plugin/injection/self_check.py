"""Whether an injector did what it was asked to do: a run that did not is an error."""

from __future__ import annotations

import warnings
from typing import List, Mapping, Optional, Protocol, Sequence

from ..errors import InjectionError, SeuWarning
from ..faults.site_memory import Given
from .exposure import ExposedSite
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
    given: Optional[Mapping[str, Given]],
    others: Mapping[str, Sequence[Checked]],
) -> None:
    """Raise InjectionError if nothing was injected, into all or into one of the ``targets``, or not
    what the fault model says, or not what was ``given``; warn of sites that no forward passed
    through. ``others``: what is exposed besides weights, by target."""
    weights: List[Checked] = [one for one in exposed if one.exposed]
    by_target = {"weights": weights, **others}
    sites = [one for several in by_target.values() for one in several]
    for one in sites:
        one.check()
    if given is not None:
        _check_given([one.statistics() for one in sites], given, exposed, state)
        return
    statistics = {
        target: [s.statistics() for s in several] for target, several in by_target.items()
    }
    every = [one for several in statistics.values() for one in several]
    check_upsets(every)
    _check_count(every, state)
    if not state.settings.injects:
        return
    if not any(one.bits for one in every):
        raise InjectionError(f"{owner!r} was asked to inject and did not: {_why(exposed, state)}")
    for target, several in statistics.items():
        if several and not any(one.bits for one in several):
            raise InjectionError(
                f"{owner!r} was asked to inject into {target} and did not: {_unused([target])}"
            )
    # Of switchable BatchNorms and of float32 inputs most are not used: no reason to warn.
    unexposed = [one for one in statistics["weights"] if not one.bits]
    for why, names in (
        ("no forward passed through", [s.name for s in unexposed if not s.forwards]),
        (f"bits {state.settings.bits}: are none of", [s.name for s in unexposed if s.forwards]),
    ):
        if names:
            warnings.warn(f"{owner!r}: {why} {', '.join(names)}", SeuWarning, stacklevel=5)


def _check_given(
    statistics: Sequence[SiteStatistics],
    given: Mapping[str, Given],
    exposed: Sequence[ExposedSite],
    state: ForwardState,
) -> None:
    made = {s.name: s for s in statistics}
    for name, fault_map in given.items():
        if fault_map.upsets is None:
            continue  # it depends on what is stored
        if made[name].upsets != fault_map.upsets * max(made[name].maps, 1):
            raise InjectionError(
                f"site {name!r} was to have {fault_map.upsets} upsets and had "
                f"{made[name].upsets}: {_why(exposed, state)}"
            )


def _check_count(statistics: Sequence[SiteStatistics], state: ForwardState) -> None:
    settings = state.settings
    if settings.mode != "exact_count" or not any(s.maps for s in statistics):
        return
    unused = [s.name for s in statistics if not s.maps]
    if unused:
        raise InjectionError(
            f"mode exact_count: some of the {settings.upsets} upsets may lie in sites that no "
            f"forward passed through ({', '.join(unused)}): exclude them in layers"
        )
    maps = {s.maps for s in statistics}
    if len(maps) == 1:
        made, wanted = sum(s.upsets for s in statistics), settings.upsets * max(maps)
        if made != wanted:
            raise InjectionError(f"self-check failed: {made} upsets were made, and {wanted} wanted")


def _unused(targets: Sequence[str]) -> str:
    hint = " (one of 32 bits is not quantized)" if "activations" in targets else ""
    return f"no forward used a stored bit of them{hint}"


def _why(exposed: Sequence[ExposedSite], state: ForwardState) -> str:
    if any(one.counter.forwards for one in exposed):
        return f"no word of its sites has a bit at the selected positions {state.settings.bits}"
    if not state.used_clean and any(one.calls for one in exposed):
        return _unused(state.settings.targets)
    if not state.used_clean:
        return "not one forward passed through a selected site"
    used = " and ".join(state.used_clean)
    hint = ": call model.eval(), or set enable_in_training" if "train" in used else ""
    return f"its sites were only used {used}, where it does not inject{hint}"
