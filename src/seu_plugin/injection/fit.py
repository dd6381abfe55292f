"""Whether what settings ask for fits the sites' memory. Asked before any forward."""

from __future__ import annotations

from typing import Mapping, Sequence

from ..errors import ConfigError, SiteError, did_you_mean
from ..faults.fault_map import BITS_LIMIT, FaultMap
from ..faults.site_memory import Given, SiteMemory
from ..fields import selected_bits
from ..quantizers.sites import Site
from ..settings.injection import InjectionSettings


def check_memory(sites: Sequence[Site], settings: InjectionSettings) -> None:
    """Raise ConfigError if codes, clusters or upsets do not fit the sites' memory, before any
    forward: at the width that each is set to, or else the widest that it offers. Raises SiteError
    for a site that is too large for a fault map."""
    stored = 0
    for site in sites:
        width = site.width_if_set or site.widest
        if site.words * width >= BITS_LIMIT:
            raise SiteError(
                f"site {site.name!r}: {site.words:,} words of {width} bits; a site must be "
                "smaller than 2**32 bits"
            )
        SiteMemory(site.name, site.words, width, settings)
        stored += site.words * bin(selected_bits(settings.bits, width)).count("1")
    if settings.mode == "exact_count" and settings.upsets > stored:
        raise ConfigError(
            f"upsets: is {settings.upsets:,}, but the selected sites have {stored:,} bits"
        )


def check_given(sites: Sequence[Site], given: Mapping[str, Given]) -> None:
    """Raise SiteError for an upset outside of the sites."""
    known = {site.name: site for site in sites}
    for name, fault_map in given.items():
        if name not in known:
            raise SiteError(f"no selected site {name!r}{did_you_mean(name, known)}")
        if isinstance(fault_map, FaultMap):
            width = known[name].width_if_set or known[name].widest
            fault_map.check_fits(name, known[name].words, width)
