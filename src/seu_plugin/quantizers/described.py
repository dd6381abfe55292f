"""Sites of tensors that a user describes, without an adapter class."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Callable, List, Sequence

import torch
from torch import nn

from ..errors import SiteError
from .contract import Site, hookimpl
from .names import check_name, named_modules
from .packed import BitStore, nibbles
from .stores import StoreSite

#: From the tensor to where its codes are.
Describe = Callable[[torch.Tensor], BitStore]


@dataclass(frozen=True)
class StoredCodes:
    """An adapter: each parameter or buffer that ``pattern`` matches by its dotted name ("layers.*.
    qweight") holds codes as ``describe`` says; its layer is a site::

        known_adapters().register(StoredCodes("*.qweight", partial(packed, width=4)), "mine")
    """

    pattern: str
    describe: Describe

    @hookimpl
    def seu_sites(self, model: nn.Module) -> Sequence[Site]:
        found: List[Site] = []
        for name, layer in named_modules(model):
            tensors = {**layer._parameters, **layer._buffers}
            for key in (key for key, tensor in tensors.items() if tensor is not None):
                if fnmatchcase(f"{name}.{key}" if name else key, self.pattern):
                    found.append(DescribedSite(check_name(name), layer, None, key, self.describe))
        return found


@dataclass(frozen=True)
class DescribedSite(StoreSite):
    """The codes in the tensor ``tensor`` of a layer."""

    tensor: str = "weight"
    describe: Describe = nibbles
    _kept: List[BitStore] = field(default_factory=list, compare=False, repr=False)

    @property
    def weight(self) -> torch.Tensor:
        found: torch.Tensor = getattr(self.layer, self.tensor)
        return found

    @property
    def store(self) -> BitStore:
        # Checking a map of bits costs more than a forward: once for each tensor.
        if not self._kept or self._kept[0].tensor is not self.weight:
            self._kept[:] = [self._described()]
        return self._kept[0]

    def _described(self) -> BitStore:
        where = f"site {self.name!r}: its {self.tensor!r}"
        try:
            store = self.describe(self.weight)
        except SiteError as error:
            raise SiteError(f"{where} cannot be described so: {error}") from error
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            raise SiteError(f"{where}: describe failed: {told}") from error
        if not isinstance(store, BitStore) or store.tensor is not self.weight:
            raise SiteError(
                f"{where}: describe must give PackedBits, packed(...) or nibbles(...) of the "
                f"tensor that it is given; received a {type(store).__name__}"
            )
        return store

    @property
    def width(self) -> int:
        return self.store.width

    @property
    def signed(self) -> bool:
        return self.store.signed

    @property
    def words(self) -> int:
        return self.store.words
