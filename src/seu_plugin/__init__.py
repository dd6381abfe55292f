"""Single-event upsets in the weight memory of quantized neural networks.

``Campaign``, ``FaultInjector``, ``setup_model_with_bit_width_config`` and
``load_bit_width_config_from_json`` are imported when first asked for: a host run without a section
never imports torch for us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .campaign.from_python import Campaign
    from .compat import (
        FaultInjector,
        load_bit_width_config_from_json,
        setup_model_with_bit_width_config,
    )
    from .faults.fault_list import Fault

__all__ = [
    "Campaign",
    "Fault",
    "FaultInjector",
    "load_bit_width_config_from_json",
    "setup_model_with_bit_width_config",
]


def __getattr__(name: str) -> Any:
    if name == "Campaign":
        from .campaign.from_python import Campaign

        return Campaign
    if name == "Fault":
        from .faults.fault_list import Fault

        return Fault
    if name in __all__:
        from . import compat

        return getattr(compat, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted([*globals(), *__all__])
