"""Upsets in weights of plain floating point, which a layer reads without any quantizer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Tuple

from .exposure import ExposedSite


@contextmanager
def in_floats(exposed: ExposedSite) -> Iterator[None]:
    """Around one forward of a layer. If its weight is a plain float one, the layer finds it under
    its upsets inside; gradients are those of the clean one."""
    layer = exposed.site.layer
    if not exposed.site.floats:
        yield
        return
    # As Python looks attributes up; FSDP puts the weight of a forward into the first of them.
    places: Tuple[Dict[str, Any], ...] = (layer.__dict__, layer._parameters, layer._buffers)
    holder = next(place for place in places if "weight" in place)
    clean = holder["weight"]
    holder["weight"] = exposed.words(clean)
    try:
        yield
    finally:
        holder["weight"] = clean
