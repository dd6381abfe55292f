"""Quantizers."""

from .lsq import IdentityQuan, LsqQuan

__all__ = ["IdentityQuan", "LsqQuan"]
