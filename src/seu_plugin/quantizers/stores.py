"""Sites of layers that keep integers and compute with them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator

import torch

from ..errors import SiteError
from .contract import LayerSite, Store
from .grid import Grid


@contextmanager
def writing(tensor: torch.Tensor) -> Iterator[None]:
    """Around writes into ``tensor`` that no graph is told of: one made in inference mode takes them
    nowhere else."""
    inside = tensor.is_inference() or torch.is_inference_mode_enabled()
    with torch.inference_mode(inside), torch.no_grad():
        yield


@dataclass(frozen=True)
class IntegerTensor:
    """A store of one code in each element of an integer tensor."""

    tensor: torch.Tensor

    def read(self) -> torch.Tensor:
        return self.tensor.detach().flatten().to(torch.int32, copy=True)

    def write(self, codes: torch.Tensor) -> None:
        with writing(self.tensor):
            self.tensor.copy_(codes.view(self.tensor.shape))

    def read_at(self, index: torch.Tensor) -> torch.Tensor:
        return self.tensor.detach().take(index).to(torch.int32)

    def write_at(self, index: torch.Tensor, codes: torch.Tensor) -> None:
        tensor = self.tensor.detach()
        with writing(tensor):
            if tensor.is_contiguous():
                tensor.view(-1)[index] = codes.to(tensor.dtype)
            else:
                self.write(self.read().index_copy(0, index, codes))


@dataclass(frozen=True)
class StoreSite(LayerSite):
    """A site whose ``weight`` is an integer tensor, without a quantizer. A subclass says ``width``;
    for packed codes also ``store`` and ``words``."""

    quantizer: Any = None

    @property
    def store(self) -> Store:
        return IntegerTensor(self.weight)

    def grid(self, width: int) -> Grid:
        """Codes are read as what they are, whatever the layer multiplies them with."""
        one = torch.ones((), device=self.weight.device)
        return Grid(width, self.signed, one, narrow=self.narrow)

    def clean(self, width: int) -> torch.Tensor:
        return self.store.read().float()

    def check(self, width: int) -> None:
        """Also: what was read, written back, changes no bit."""
        clean, before = self.store.read(), self.weight.detach().clone()
        if clean.dtype is not torch.int32 or clean.numel() != self.words:
            raise SiteError(
                f"site {self.name!r}: its store must give {self.words:,} codes of torch.int32; "
                f"received {clean.numel():,} of {clean.dtype}"
            )
        self.store.write(clean)
        if not torch.equal(self.weight, before):
            with writing(self.weight):
                self.weight.data.copy_(before)
            raise SiteError(f"site {self.name!r}: its store does not write back what it has read")
        super().check(width)
