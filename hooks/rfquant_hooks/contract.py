"""The words that a host and its plugins share. Standard library and pluggy only."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

import pluggy

#: pluggy project name and setuptools entry-point group.
PROJECT = "rfquant"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class PluginError(Exception):
    """A mistake that the user can mend: shown as one line, exit code 2, no traceback."""


class Stopped(KeyboardInterrupt):
    """The user stopped a run: shown as one line, without a traceback.

    ``exit_code`` is what a shell expects: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Terminated(KeyboardInterrupt):
    """SIGTERM, at the place where Ctrl-C would be raised."""

    exit_code = 143


@dataclass(frozen=True)
class BitWidths:
    """A mixed-precision policy: one width per quantized layer without ``fixed_bits``.

    ``weights`` and ``activations`` are in bits and in ``named_modules`` order; ``source`` says
    where they come from (for messages).
    """

    weights: Tuple[int, ...]
    activations: Tuple[int, ...]
    source: str = ""


@dataclass(frozen=True)
class Phase:
    """One call of a host function that the profile declares to be a phase.

    ``name`` is ``train``, ``validate``, ``calibrate`` or ``search``; ``arguments`` are the call's
    arguments by parameter name, defaults included; ``parent`` is the phase it runs inside.
    ``data`` is the argument that yields batches, and ``read_labels`` takes the labels out of one,
    where the profile says which these are.
    """

    name: str
    model: Any
    config: Any
    arguments: Mapping[str, Any] = field(repr=False)
    bit_widths: Optional[BitWidths] = None
    parent: Optional[Phase] = field(default=None, repr=False)
    data: Any = field(default=None, repr=False)
    read_labels: Optional[Callable[[Any], Any]] = field(default=None, repr=False)

    def inside(self, name: str) -> bool:
        """Whether this phase runs, at any depth, inside a phase called ``name``."""
        return self.parent is not None and (self.parent.name == name or self.parent.inside(name))


@dataclass(frozen=True)
class PhaseOutcome:
    """What a phase gave: ``value`` is what the host's function returned, untouched; ``metrics``
    are the accuracies read from it (top-1 in percent, one per architecture; empty if none)."""

    value: Any
    metrics: Tuple[float, ...] = ()


def setting(config: Any, name: str, default: Any = None) -> Any:
    """A top-level setting of a host configuration, be it a mapping or an object."""
    if isinstance(config, Mapping):
        return config.get(name, default)
    return getattr(config, name, default)


def restart_command() -> Optional[List[str]]:
    """The command that started this process, to start it once more; None if it is not known.

    Python tells it from 3.10 on, Linux under every version.
    """
    original: Optional[Sequence[str]] = getattr(sys, "orig_argv", None)
    if original is None:
        try:
            raw = Path("/proc/self/cmdline").read_bytes()
        except OSError:
            return None
        original = [os.fsdecode(part) for part in raw.split(b"\0")[:-1]]
    return [sys.executable, *original[1:]]
