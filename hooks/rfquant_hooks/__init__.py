"""Hooks for RFQuant hosts: the contract between a host and its plugins.

Two lines at the top of a host's main put it under hooks::

    import rfquant_hooks
    rfquant_hooks.instrument()

``rfquant-run main.py ...`` does the same without an edit. Needs pluggy only, and torch for
``--cpu`` alone.
"""

from .contract import (
    PROJECT,
    BitWidths,
    Phase,
    PhaseOutcome,
    PluginError,
    Stopped,
    hookimpl,
    hookspec,
)
from .instrument import instrument, uninstrument
from .known_profiles import find_profile
from .manager import create_manager
from .profiles import RFQUANT, HostProfile, PhaseFunction
from .session import Session

__all__ = [
    "PROJECT",
    "RFQUANT",
    "BitWidths",
    "HostProfile",
    "Phase",
    "PhaseFunction",
    "PhaseOutcome",
    "PluginError",
    "Session",
    "Stopped",
    "create_manager",
    "find_profile",
    "hookimpl",
    "hookspec",
    "instrument",
    "uninstrument",
]
