"""The upsets of an injector as a list, to be tried again elsewhere."""

from __future__ import annotations

from typing import List, Mapping, Optional, Sequence

from ..errors import InjectionError
from ..faults.fault_list import Fault, faults_of
from ..faults.fault_map import FaultMap
from ..faults.site_memory import Given
from ..settings.injection import InjectionSettings
from .exposure import ExposedSite


def upsets_listed(
    exposed: Sequence[ExposedSite],
    settings: InjectionSettings,
    given: Optional[Mapping[str, Given]],
) -> List[Fault]:
    """The bits of weights that are read wrong under the map that holds now.

    Raises InjectionError where there is no such list, or none yet: widths, and with them maps,
    are known once a forward has passed.
    """
    if settings.targets != ("weights",):
        targets = ", ".join(settings.targets)
        raise InjectionError(f"faults() lists upsets of weights; the targets are {targets}")
    if any(one.counter.widths for one in exposed):
        return [fault for one in exposed for fault in one.maps.faults()]
    if given is not None and not settings.protection:
        found = {one.site.name: given.get(one.site.name) for one in exposed}
        maps = {name: one for name, one in found.items() if isinstance(one, FaultMap)}
        return [fault for name, one in maps.items() for fault in faults_of(name, one)]
    if given is None and not settings.injects:
        return []
    raise InjectionError(
        "faults(): no forward was under upsets since enable, so no map was drawn: run one first"
    )
