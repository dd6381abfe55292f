"""Upsets in weights of plain floating point, which a layer reads without any quantizer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator

from .exposure import ExposedSite


@contextmanager
def in_floats(exposed: ExposedSite) -> Iterator[None]:
    """Around one forward of a layer. If its weight is a plain float one, the layer finds it under
    its upsets inside; gradients are those of the clean one."""
    layer = exposed.site.layer
    if not exposed.site.floats:
        yield
        return
    parameters, buffers = layer._parameters, layer._buffers
    holder: Dict[str, Any] = parameters if "weight" in parameters else buffers
    clean = holder["weight"]
    holder["weight"] = exposed.words(clean)
    try:
        yield
    finally:
        holder["weight"] = clean
