"""Fault maps drawn where the weights are. Nothing here is imported before it is used."""

from __future__ import annotations

from functools import lru_cache

#: The first Triton that the kernels are tested with (it comes with torch 2.13); without it, maps
#: for a GPU are drawn on the host, which is slower and gives the same.
TRITON_FROM = (3, 7)


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether there is a Triton that runs the kernels."""
    try:
        import triton
    except ImportError:
        return False
    return tuple(map(int, triton.__version__.split(".")[:2])) >= TRITON_FROM
