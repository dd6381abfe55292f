"""The adapters there are, and the sites that they find in a model.

RFQuant's comes first, then torch.ao's, Brevitas's, lsq-net's and torchao's, then those of entry
points of group ``seu``, then what a program registers with :func:`known_adapters`, a pluggy
manager.
"""

from __future__ import annotations

import inspect
from functools import cache
from importlib.metadata import EntryPoint, distributions
from typing import Any, Dict, Iterable, List, Optional, Tuple

import pluggy
from torch import nn

from ..errors import ConfigError, SeuError, SiteError, did_you_mean
from . import contract
from .adapters import brevitas, lsq_net, plain_float, rfquant, torch_ao, torchao
from .contract import PROJECT, Site
from .names import check_name, named_modules

_MEMBERS = [name for name in vars(Site) if not name.startswith("_")]
_NOT_THERE = object()


@cache
def known_adapters() -> pluggy.PluginManager:
    """The manager of this process's adapters. Raises SiteError for a broken entry point."""
    return create_manager(e for d in distributions() for e in d.entry_points if e.group == PROJECT)


def create_manager(entry_points: Iterable[EntryPoint]) -> pluggy.PluginManager:
    """A manager with the builtin adapters and those of ``entry_points``."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(contract)
    manager.register(rfquant, "rfquant")
    manager.register(torch_ao, "torch.ao")
    manager.register(brevitas, "brevitas")
    manager.register(lsq_net, "lsq-net")
    manager.register(torchao, "torchao")
    for entry in {(e.name, e.value): e for e in entry_points}.values():
        try:
            plugin = entry.load()
            manager.register(plugin, entry.name)
            manager.check_pending()
            if not manager.get_hookcallers(plugin):
                raise TypeError("has no hook seu_sites")
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            raise SiteError(
                f"adapter {entry.name!r} (entry point {PROJECT}: {entry.value}) cannot be used: "
                f"{told}"
            ) from error
    return manager


def asked() -> List[str]:
    """Names of the adapters, the first one first."""
    return [name for name, plugin in known_adapters().list_name_plugin() if plugin is not None]


def found_by(model: nn.Module, only: Optional[str] = None) -> List[Tuple[str, Site]]:
    """(name of its adapter, site) of every site of ``model``, in ``named_modules`` order; ``only``
    of the adapter of that name. Plain floats are sites under their name alone, and only in layers
    that no adapter knows.

    Raises ConfigError for an adapter that is not there. Raises SiteError, naming the adapter, for
    one that fails or gives what is no site of the model, and for two that claim one layer.
    """
    names = [*asked(), plain_float.NAME]
    if only is not None and only not in names:
        raise ConfigError(
            f"quantizer: must be one of {', '.join(names)}; received {only!r}"
            f"{did_you_mean(only, names)}"
        )
    paths = {module: name for name, module in named_modules(model)}
    owners: Dict[nn.Module, Tuple[str, Site]] = {}
    for adapter in asked():
        for site in _sites_of(adapter, model):
            _check_site(adapter, site, paths)
            if site.layer in owners:
                raise _claimed_twice(site, owners[site.layer][0], adapter)
            owners[site.layer] = adapter, site
    if only == plain_float.NAME:
        plain = {s.layer: (only, s) for s in plain_float.seu_sites(model) if s.layer not in owners}
        return [plain[layer] for layer in paths if layer in plain]
    found = [owners[layer] for layer in paths if layer in owners]
    return [one for one in found if only in (None, one[0])]


def _claimed_twice(site: Site, owner: str, adapter: str) -> SiteError:
    if owner == adapter:
        return SiteError(f"layer {site.name!r}: adapter {adapter!r} gave two sites of it")
    return SiteError(
        f"layer {site.name!r}: adapters {owner!r} and {adapter!r} both claim it; unregister one of "
        "them"
    )


def _sites_of(adapter: str, model: nn.Module) -> List[Any]:
    """What one adapter answers."""
    manager = known_adapters()
    others = [plugin for name, plugin in manager.list_name_plugin() if name != adapter]
    hook = manager.subset_hook_caller("seu_sites", others)
    try:
        return [site for sites in hook(model=model) for site in sites]
    except SeuError:
        raise
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise SiteError(f"adapter {adapter!r} failed on the model: {told}") from error


def _check_site(adapter: str, site: Any, paths: Dict[nn.Module, str]) -> None:
    """Raise SiteError for what is no site, or not of this model, or named after another layer."""
    missing = [n for n in _MEMBERS if inspect.getattr_static(site, n, _NOT_THERE) is _NOT_THERE]
    if missing:
        raise SiteError(
            f"adapter {adapter!r}: gave a {type(site).__name__}, which is no site "
            f"(it has no {', '.join(missing)})"
        )
    path = paths.get(site.layer)
    if path is None:
        raise SiteError(f"adapter {adapter!r}: site {site.name!r} has a layer of another model")
    if site.name != path:
        raise SiteError(f"adapter {adapter!r}: the site of layer {path!r} is named {site.name!r}")
    check_name(path)
