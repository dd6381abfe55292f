"""The names of the host-side injector API; also served as ``util.fault_injector``."""

from .injection.injector import FaultInjector
from .quantizers.bit_widths import (
    load_bit_width_config_from_json,
    setup_model_with_bit_width_config,
)

__all__ = [
    "FaultInjector",
    "load_bit_width_config_from_json",
    "setup_model_with_bit_width_config",
]
