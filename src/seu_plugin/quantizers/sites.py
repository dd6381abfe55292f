"""Sites: the weight stores of a model's quantized layers, found by adapters and selected."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from torch import nn

from ..errors import ConfigError, SiteError, did_you_mean
from ..fields import LayerSelection
from ..memory.codecs import codec
from ..settings.injection import InjectionSettings
from .adapters.plain_float import NAME
from .contract import Site
from .names import unwrap
from .registry import asked, found_by
from .storage import check_memory_of_its_own, check_not_in_pieces, overlapping


class Sites(Tuple[Site, ...]):
    """Selected sites, which know the adapters that found them, by site name."""

    adapters: Mapping[str, str]


def all_sites(model: nn.Module, quantizer: Optional[str] = None) -> List[Site]:
    """Every site of ``model`` that an adapter (``quantizer``: the one of that name) knows, in
    ``named_modules`` order."""
    return [site for _, site in found_by(model, quantizer)]


def select_sites(
    model: nn.Module, layers: LayerSelection, quantizer: Optional[str] = None
) -> Sites:
    """The sites of ``model`` that match ``layers``, in ``named_modules`` order, as
    :func:`all_sites`.

    Raises SiteError if the model has no quantized layer, a pattern matches none, nothing is
    left, two sites share a quantizer or memory, or a weight has no values to upset.
    """
    check_not_in_pieces(model)
    found = found_by(model, quantizer)
    sites = [site for _, site in found]
    names = [site.name for site in sites]
    root = unwrap(model)
    if any(site.layer is root for site in sites):
        raise SiteError(
            f"model: is itself a quantized layer ({type(root).__name__}): give the model that it "
            "is a part of, or nn.Sequential(layer)"
        )
    if not sites:
        raise _nothing_found(root, quantizer)
    included = _matching(layers.include, names, "layers.include")
    excluded = _matching(layers.exclude, names, "layers.exclude")
    found = [one for one in found if one[1].name in included and one[1].name not in excluded]
    selected = Sites(site for _, site in found)
    selected.adapters = {site.name: adapter for adapter, site in found}
    if not selected:
        raise SiteError(
            f"layers: nothing is left after layers.exclude (sites are {', '.join(names)})"
        )
    owners: Dict[int, Site] = {}
    for site in selected:
        for what, part in (("quantizer", site.quantizer), ("", site.weight)):
            if part is None:
                continue
            other = owners.setdefault(id(part), site)
            if other is not site:
                thing = f"weight {what}".strip()
                raise SiteError(f"sites {other.name!r} and {site.name!r} share one {thing}")
        check_memory_of_its_own(f"weight of site {site.name!r}", site.weight)
    shared = overlapping((site.name, site.weight) for site in selected)
    if shared is not None:
        raise SiteError(f"sites {shared[0]!r} and {shared[1]!r} have weights in one memory")
    return selected


def _nothing_found(root: nn.Module, quantizer: Optional[str]) -> SiteError:
    kind = type(root).__name__
    if quantizer == NAME:
        return SiteError(
            f"quantizer: float, but {kind} has no convolution or linear layer without a quantizer"
        )
    if quantizer is not None:
        return SiteError(f"quantizer: {quantizer}, but {kind} has no layer that its adapter knows")
    return SiteError(
        f"layers: {kind} has no quantized layer that an adapter knows (asked: "
        f"{', '.join(asked())}): prepare it first (RFQuant's replace_module_by_names, torch.ao's "
        "prepare_qat, not converted yet), or name quantizer: float if its weights are to be plain "
        "floats"
    )


def _matching(patterns: Iterable[str], names: List[str], key: str) -> set[str]:
    found = set()
    for pattern in patterns:
        matches = {name for name in names if fnmatchcase(name, pattern)}
        if not matches:
            raise SiteError(
                f"{key}: pattern {pattern!r} matches no site{did_you_mean(pattern, names)} "
                f"(sites are {', '.join(names)})"
            )
        found |= matches
    return found


def check_grids(sites: Sequence[Site], settings: InjectionSettings) -> None:
    """Raise ConfigError if the encoding cannot hold the codes of a site, or if no site has one
    of the listed bit positions."""
    chosen = codec(settings.encoding)
    for site in (one for one in sites if not one.floats):
        lowest = site.narrow - 2 * site.signed
        highest = 1 if site.signed else 3  # the grid of width 2 tells signed from unsigned
        if lowest < chosen.lowest(2) or highest > chosen.highest(2):
            signed = "asymmetric signed" if lowest == -2 else "signed"
            grid = signed if site.signed else "unsigned"
            raise ConfigError(
                f"encoding: {settings.encoding!r} cannot hold the {grid} codes of site "
                f"{site.name!r}"
            )
    if not isinstance(settings.bits, str):
        widest = max(site.widest for site in sites)
        for position in settings.bits:
            if position >= widest:
                raise ConfigError(
                    f"bits: no selected site has a bit {position}; the widest has {widest} bits "
                    f"(0 ... {widest - 1})"
                )
