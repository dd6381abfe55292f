"""Whether what settings ask for fits the sites' memory. Asked before any forward."""

from __future__ import annotations

from typing import Mapping, Sequence

from torch import nn

from ..errors import ConfigError, SiteError, did_you_mean
from ..faults.fault_list import place_in
from ..faults.fault_map import BITS_LIMIT, FaultMap
from ..faults.site_memory import Given, SiteMemory
from ..fields import selected_bits, shown
from ..quantizers.contract import Site
from ..quantizers.sites import all_sites
from ..settings.injection import InjectionSettings


def check_memory(sites: Sequence[Site], settings: InjectionSettings) -> None:
    """Raise ConfigError if codes, clusters or upsets do not fit the sites' memory, before any
    forward: at the width that each is set to, or else the widest that it offers. Raises SiteError
    for a site that is too large for a fault map."""
    stored = 0
    for site in sites:
        width = _width(site)
        if site.words * width >= BITS_LIMIT:
            raise SiteError(
                f"site {site.name!r}: {site.words:,} words of {width} bits; a site must be "
                "smaller than 2**32 bits"
            )
        rule = SiteMemory(site.name, site.words, width, settings).rule
        if rule is not None and rule.on_detected == "zero":
            _check_zero(site)
        stored += site.words * bin(selected_bits(settings.bits, width)).count("1")
    if settings.mode == "exact_count" and settings.upsets > stored:
        raise ConfigError(
            f"upsets: is {settings.upsets:,}, but the selected sites have {stored:,} bits"
        )


def _check_zero(site: Site) -> None:
    """Raise ConfigError where the weight 0 is not code 0, which a detected word would read as."""
    width = None if site.width_changes or site.floats else site.width_if_set
    zero = None if width is None else site.grid(width).zero_point
    if zero is not None and bool((zero != 0).any()):
        raise ConfigError(
            f"protection.on_detected: zero reads as code 0, and weight 0 of site {site.name!r} is "
            "another code (its grid has a zero point): allowed there are reload, keep"
        )


def check_at(sites: Sequence[Site], widths: Mapping[str, Sequence[int]]) -> None:
    """Raise SiteError for codes that cannot be read at a width that was set after ``enable``."""
    for site in sites:
        for width in widths[site.name] if site.width_changes else ():
            site.check(width)


def check_given(sites: Sequence[Site], given: Mapping[str, Given]) -> None:
    """Raise SiteError for an upset outside of the sites."""
    known = {site.name: site for site in sites}
    for name, fault_map in given.items():
        if name not in known:
            raise SiteError(f"no selected site {name!r}{did_you_mean(name, known)}")
        if isinstance(fault_map, FaultMap):
            fault_map.check_fits(name, known[name].words, _width(known[name]))


def check_listed(model: nn.Module, sites: Sequence[Site], settings: InjectionSettings) -> None:
    """Raise SiteError for a fault of mode ``fault_list`` that lies outside of ``sites``, naming its
    place in the list."""
    listed = settings.faults
    if settings.mode != "fault_list" or listed is None or isinstance(listed, str):
        return
    known = {site.name: (site.words, _width(site)) for site in sites}
    for position, (name, word, bit) in enumerate(listed):
        words, width = known.get(name, (0, 0))
        if word < words and bit < width:
            continue
        if name not in known:
            trouble = _no_site(name, model, list(known), settings)
        elif word >= words:
            trouble = f"site {name!r}: no word {word}; it has {words} (0 ... {words - 1})"
        else:
            trouble = f"site {name!r}: no bit {bit}; its words have {width} (0 ... {width - 1})"
        raise SiteError(f"faults: {place_in(listed, position)}: {trouble}")


def _no_site(
    name: str, model: nn.Module, selected: Sequence[str], settings: InjectionSettings
) -> str:
    everywhere = [site.name for site in all_sites(model, settings.quantizer)]
    if name in everywhere:
        return f"site {name!r} is left out by layers, which select {shown(list(selected))}"
    return f"the model has no site {name!r}{did_you_mean(name, everywhere)}"


def _width(site: Site) -> int:
    return site.width_if_set or site.widest
