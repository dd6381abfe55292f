"""Upsets in integers that a layer keeps and computes with: put in place, and back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import torch

from .exposure import ExposedSite


@contextmanager
def in_store(exposed: ExposedSite) -> Iterator[None]:
    """Around one forward of a layer. If it computes with stored integers, these hold their upsets
    inside."""
    site, store = exposed.site, exposed.site.store
    placed = None
    if store is not None and exposed.used((), {}):
        placed = exposed.placed_now(site.width_of((), {}))
    if store is None or placed is None:
        yield
        return
    clean = store.read()
    upset = clean.float()  # as any weight, of step size 1; 16 bits are exact
    placed.write(upset, exposed.reader.faulted(upset, placed, site.grid(placed.width)))
    try:
        store.write(upset.to(torch.int32))
        yield
    finally:
        store.write(clean)
