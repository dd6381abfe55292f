"""Which modules of a model are watched for reuse, and what others have put on them."""

from __future__ import annotations

from typing import Any, Dict, List, Set, Tuple

import torch
from torch import nn
from torch.nn.modules import module as hooks_of_all

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class ModulesSeen:
    """The modules below ``root`` whose calls are watched: all that have a forward of their own, but
    none inside a site (``sites``, layers), and none that torch compiled.

    ``owner``: of each module of the model, the one whose calls stand for it.
    """

    def __init__(self, root: nn.Module, sites: Set[nn.Module]) -> None:
        self.root, self.sites = root, sites
        self.watched: List[nn.Module] = []
        self.owner: Dict[nn.Module, nn.Module] = {}
        self._below: Dict[nn.Module, List[Tuple[Dict[str, Any], Any]]] = {}
        self._go(root, root, opaque=False)

    def _go(self, module: nn.Module, owner: nn.Module, opaque: bool) -> None:
        if module in self.owner:
            return
        watch = not opaque and (module in self.sites or _watchable(module))
        if watch and module is not self.root:
            self.watched.append(module)
            owner = module
        self.owner[module] = owner
        opaque = opaque or module in self.sites or _is_program(module)
        for child in module.children():
            self._go(child, owner, opaque)

    def taken_over(self) -> None:
        """All forwards are as they stay: what is below each module is looked at now."""
        self._below = {
            module: [(vars(one), vars(one).get("forward")) for one in module.modules()]
            for module in self.watched
        }

    def quiet(self, module: nn.Module) -> bool:
        """Whether nobody would miss the calls inside ``module``: no hook is there, and no forward
        that was replaced since."""
        if any(getattr(hooks_of_all, f"_global{name}", None) for name in _HOOKS):
            return False
        own = vars(module)
        for held, forward in self._below[module]:
            if held.get("forward") is not forward:
                return False
            if (held.get("_forward_hooks") or held.get("_forward_pre_hooks")) and held is not own:
                return False
        return True


def _watchable(module: nn.Module) -> bool:
    """Whether it has a forward, and nobody has put another one in its place."""
    if "forward" in vars(module) or _is_program(module):
        return False
    forward = getattr(type(module), "forward", None)
    return forward not in (None, getattr(nn.Module, "forward", None))


def _is_program(module: nn.Module) -> bool:
    """Whether torch runs another program in its place: scripted or compiled."""
    compiled = getattr(module, "_compiled_call_impl", None) is not None
    return isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod") or compiled
