"""Fault settings without a section around them."""

from types import SimpleNamespace

from seu_plugin.faults.mechanisms import AsymmetricRates
from seu_plugin.memory.layout import MemorySettings


def settings(**changed):
    """Those of independent flips, but for what is ``changed``."""
    return SimpleNamespace(
        **{
            "mode": "ber",
            "stuck_at": "random",
            "asymmetric": AsymmetricRates(),
            "mbu": None,
            "bits": "all",
            "encoding": "twos_complement",
            "memory": MemorySettings(),
            "protection": (),
            **changed,
        }
    )
