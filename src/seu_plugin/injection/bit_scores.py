"""How much each stored bit matters, to first order: a guess from gradients, before any trial.

The score of a bit is |dm/dw| * |change of w if the bit flips|, with m the margin of the top-1 class
in logits; gradients of small parts of the images are added as squares, so that what one image gains
does not hide what another loses. (Bits are ranked by gradients in A. S. Rakin, Z. He, D. Fan,
Bit-flip attack: crushing neural network with progressive bit search, ICCV 2019.)
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..errors import ConfigError
from ..memory.codecs import Codec
from ..quantizers.contract import Site
from .word_reading import stored_words

Floats = npt.NDArray[np.float32]
#: Images of one gradient.
PART = 8
#: Of the steepness of a site's words, what each has at least.
UNSEEN = 0.01


class InputKeeper:
    """Sees forwards, and keeps what the first ones were given, in parts of ``PART`` images, until
    that is so many images."""

    def __init__(self, images: int) -> None:
        self._left = images
        self.parts: List[Tuple[Any, ...]] = []
        self.classes = True

    def __call__(self, output: Any, inputs: Sequence[Any] = ()) -> None:
        if self._left <= 0:
            return
        if not isinstance(output, torch.Tensor) or output.dim() != 2 or output.shape[1] < 2:
            self.classes = False
            return
        images = min(len(output), self._left)
        with torch.inference_mode(False), torch.no_grad():
            for start in range(0, images, PART):
                here = slice(start, min(start + PART, images))
                self.parts.append(
                    tuple(x[here].clone() if _is_images(x, output) else x for x in inputs)
                )
        self._left -= images


def _is_images(value: Any, output: torch.Tensor) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0 and len(value) == len(output)


def bit_scores(
    model: nn.Module,
    sites: Sequence[Site],
    memory: Mapping[str, Tuple[int, Sequence[int]]],
    widths: Mapping[str, Sequence[int]],
    codec: Codec,
    kept: InputKeeper,
) -> Dict[str, Floats]:
    """By site, the score of each exposed bit of each word; float32 of shape [words, bits]: by how
    much it moves margins, as a multiple of what they are. 0 in layers that no gradient reaches
    (those that keep integers). ``memory``: words and bits.

    Raises ConfigError for outputs that are no logits of classes.
    """
    if not kept.classes or not kept.parts:
        raise ConfigError(
            "campaign.critical: needs outputs of shape [images, classes], the first argument of "
            "the model its images"
        )
    used = [site for site in sites if widths[site.name]]
    squares, margin = _squares(model, used, kept.parts)
    found = {}
    for site, square in zip(used, squares):
        (width,) = widths[site.name]
        # An image that was not looked at may use a word that these do not.
        square = square.double() + (UNSEEN**2 * square.double().mean())
        steepness = square.sqrt().flatten() / margin
        changes = (_change(site, width, bit, codec) for bit in memory[site.name][1])
        # What is no number spreads, whatever it is multiplied with.
        columns = [torch.where(one.isinf(), one, steepness * one) for one in changes]
        found[site.name] = torch.stack(columns, 1).float().cpu().numpy()
    return found


def _squares(
    model: nn.Module, sites: Sequence[Site], parts: Sequence[Tuple[Any, ...]]
) -> Tuple[List[torch.Tensor], float]:
    """Of each site, the sum over parts of the images of squared gradients, like its weight; and the
    root of the sum of squared margins."""
    learning = [site.weight for site in sites if site.store is None]
    sums = {id(weight): torch.zeros_like(weight, dtype=torch.float32) for weight in learning}
    margins = 0.0
    with _requiring(learning), torch.enable_grad():
        for part in parts if learning else ():
            best = model(*part).float().topk(2, dim=1).values
            margin = (best[:, 0] - best[:, 1]).sum()
            margins += float(margin.detach()) ** 2
            found = torch.autograd.grad(margin, learning, allow_unused=True)
            for weight, gradient in zip(learning, found):
                if gradient is not None:
                    sums[id(weight)] += gradient.detach().float().square()
    nothing = torch.zeros(1)
    several = [sums.get(id(site.weight), nothing.expand(site.words)) for site in sites]
    return several, margins**0.5 or 1.0


@contextmanager
def _requiring(weights: Sequence[torch.Tensor]) -> Iterator[None]:
    """Inside, these take part in autograd."""
    before = [weight.requires_grad for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_(True)
        yield
    finally:
        for weight, required in zip(weights, before):
            weight.requires_grad_(required)


def _change(site: Site, width: int, bit: int, codec: Codec) -> torch.Tensor:
    """By how much each word's value changes if the bit flips; float64 of shape [words]."""
    clean = site.clean(width).detach()
    if site.floats:
        words = stored_words(clean.contiguous())
        mask = torch.tensor(1 << bit, dtype=torch.int64).to(words.dtype)
        read = (words ^ mask).view(clean.dtype)
    else:
        grid = site.grid(width)
        stored = codec.encode(grid.codes(clean), width)
        read = grid.values(codec.decode(stored ^ (1 << bit), width), clean)
    change = (read.double() - clean.double()).abs().flatten()
    return change.nan_to_num(np.inf, posinf=np.inf)
