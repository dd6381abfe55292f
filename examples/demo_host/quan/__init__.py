"""Quantization."""

from .func import QuanConv2d, QuanLinear, SwithableBatchNorm
from .utils import find_modules_to_quantize, replace_module_by_names

__all__ = [
    "QuanConv2d",
    "QuanLinear",
    "SwithableBatchNorm",
    "find_modules_to_quantize",
    "replace_module_by_names",
]
