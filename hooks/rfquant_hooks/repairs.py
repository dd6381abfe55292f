"""What the published host gets wrong, mended in memory while it is instrumented."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Type

from .contract import PluginError
from .host_settings import check_settings
from .patching import Patches
from .profiles import PhaseFunction
from .repair import Host, Repair
from .repairs_start import LocalRank, Loggers, ProcessGroup
from .repairs_widths import AbitKeyword, IntegerWidths, PolicyBits, RelativePolicy
from .spelling import did_you_mean

#: Every repair by its name.
REPAIRS: Mapping[str, Type[Repair]] = {
    repair.name: repair
    for repair in (
        PolicyBits,
        IntegerWidths,
        AbitKeyword,
        LocalRank,
        ProcessGroup,
        Loggers,
        RelativePolicy,
    )
}


def check_names(names: Iterable[str]) -> List[str]:
    """``names`` as a list. Raises PluginError, with the nearest name, for one that is none."""
    found = [names] if isinstance(names, str) else list(names)
    for name in found:
        if name not in REPAIRS:
            hint = did_you_mean(name, REPAIRS)
            raise PluginError(f"unknown repair {name!r}{hint} (repairs: {', '.join(REPAIRS)})")
    return found


def all_but(names: Iterable[str]) -> List[str]:
    """The repairs that ``names`` does not switch off. Raises PluginError for an unknown one."""
    off = check_names(names)
    return [name for name in REPAIRS if name not in off]


class Repairs:
    """The chosen repairs at work on one host. Each looks for its defect before it acts."""

    def __init__(self, host: Host, names: Optional[Iterable[str]] = None) -> None:
        chosen = list(REPAIRS) if names is None else check_names(names)
        self._host = host
        self._repairs = [REPAIRS[name](host) for name in REPAIRS if name in chosen]

    @contextmanager
    def while_reading(self) -> Iterator[None]:
        """Around the host's function that reads the configuration."""
        patches = Patches()
        try:
            for repair in self._repairs:
                repair.before_config(patches)
            yield
        finally:
            patches.undo()

    def check_settings(self, config: Any) -> None:
        """Raise PluginError for a setting that this host's code cannot run with."""
        check_settings(self._host, config)

    def after_config(self, config: Any) -> None:
        for repair in self._repairs:
            repair.after_config(config)

    def before_phase(
        self,
        phase: PhaseFunction,
        call: Callable[..., Any],
        args: Tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        try:
            bound = inspect.signature(call).bind(*args, **kwargs)
        except TypeError:  # the call itself says so better
            return
        bound.apply_defaults()
        arguments: Dict[str, Any] = dict(bound.arguments)
        for repair in self._repairs:
            repair.before_phase(phase, arguments)

    def undo(self) -> None:
        self._host.patches.undo()
