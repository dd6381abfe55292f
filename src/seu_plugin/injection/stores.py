"""Upsets in integers that a layer keeps and computes with: put in place, and back."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterable, Iterator, Tuple

import torch

from ..errors import InjectionError
from ..quantizers.contract import Site, Store, StoreOfWords
from .exposure import ExposedSite
from .placement import PlacedMap, PlacedMasks

Read = Callable[[], torch.Tensor]
Write = Callable[[torch.Tensor], None]


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
    read, write = _words_of(store, placed)
    clean = read()
    values = clean.float()  # as any weight, of step size 1; 16 bits are exact
    words = values.new_empty(1).expand(site.words)  # of the shape alone
    grid = site.grid(placed.width).map(lambda numbers: placed.of_words(words, numbers))
    upset = exposed.reader.words(values, placed, grid)
    try:
        write(upset.to(torch.int32))
        yield
    finally:
        write(clean)


def check_backward(site: Site, inputs: Iterable[Any], output: Any) -> None:
    """After a forward of a layer with a store: gradients through ``output`` are an error where a
    function of Python may look at the store again for them. torch's own keep what they need, and
    notice if it was written to."""
    if site.store is None or not isinstance(output, torch.Tensor) or not output.requires_grad:
        return
    seen = {getattr(one, "grad_fn", None) for one in inputs} | {None}
    left = [output.grad_fn]
    while left:
        node = left.pop()
        if node in seen:
            continue
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            output.register_hook(partial(_refused, site.name))
            return
        seen.add(node)
        left += [] if node is None else [one for one, _ in node.next_functions]


def _refused(name: str, gradient: torch.Tensor) -> None:
    raise InjectionError(
        f"site {name!r}: its integers were put back after the forward, and its autograd.Function "
        "may compute gradients from them, of the network without upsets: exclude it to train"
    )


def _words_of(store: Store, placed: PlacedMap) -> Tuple[Read, Write]:
    """How to get at the words of ``store`` that ``placed`` holds: at these alone, if it can."""
    if isinstance(placed, PlacedMasks):  # it holds all
        return store.read, store.write
    index = placed.index
    if isinstance(store, StoreOfWords):
        return partial(store.read_at, index), partial(store.write_at, index)
    whole = store.read()

    def write(codes: torch.Tensor) -> None:
        store.write(whole.index_copy(0, index, codes))

    return partial(whole.index_select, 0, index), write
