"""What an adapter says of a quantizer: sites, their grids, and where upsets go in.

An adapter is an object (or module) with the hook ``seu_sites``; ``docs/quantizers.md`` has one to
copy. Upsets go into what a quantizer's forward gives (fake quantization), or into integers that a
layer computes with (a store).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    Iterator,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    runtime_checkable,
)

import pluggy
import torch
from torch import nn

from ..errors import SiteError
from .grid import Grid, check_axis, check_holds, check_numbers
from .names import check_name, named_modules

#: Of pluggy, and the group of entry points.
PROJECT = "seu"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def seu_sites(model: nn.Module) -> Optional[Sequence[Site]]:
    """Every site of the model that this adapter knows; None or nothing if it knows none::

    @hookimpl
    def seu_sites(model):
        return [MySite(name, m, m.quant) for name, m in layers(model, is_mine)]
    """


class StepWords(NamedTuple):
    """Where a quantizer keeps its step sizes as float32 words: a tensor of a module, of which the
    element ``part(width)`` is in use. ``name`` comes after the site's, in statistics."""

    name: str
    module: nn.Module
    tensor: str
    part: Callable[[int], int]


class Activations(Protocol):
    """The quantizer of what comes into a site's layer."""

    @property
    def name(self) -> str: ...
    @property
    def quantizer(self) -> nn.Module: ...
    @property
    def signed(self) -> bool: ...
    def grid(self, width: int) -> Grid:
        """Codes at ``width``; one step size. Raises InjectionError if it cannot be read."""

    def width_of(self, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Optional[int]:
        """Width of one call of ``quantizer``; None if it does not quantize."""


class Store(Protocol):
    """Codes that a layer keeps as integers and computes with."""

    def read(self) -> torch.Tensor:
        """The codes in the order of words: int32, a tensor of their own, on the weight's device."""

    def write(self, codes: torch.Tensor) -> None:
        """Store these codes; after those of :meth:`read`, every bit is as it was."""


@runtime_checkable
class StoreOfWords(Store, Protocol):
    """A store that gets at single words: a forward under upsets touches those that are hit, and no
    others. ``index``: int64, each word at most once."""

    def read_at(self, index: torch.Tensor) -> torch.Tensor:
        """As :meth:`read`, of the words in ``index``."""

    def write_at(self, index: torch.Tensor, codes: torch.Tensor) -> None:
        """As :meth:`write`, to the words in ``index``."""


class Site(Protocol):
    """The weight store of one layer. :class:`LayerSite` has what most of them share."""

    @property
    def name(self) -> str:
        """Dotted path of the layer, without what wraps the model: fault maps depend on it."""

    @property
    def layer(self) -> nn.Module:
        """The module whose forward uses the weight."""

    @property
    def quantizer(self) -> nn.Module:
        """The module whose forward, called inside that of the layer, gives the weight's values."""

    @property
    def store(self) -> Optional[Store]:
        """The codes, if the layer computes with these; ``quantizer`` is not used then."""

    @property
    def floats(self) -> bool:
        """Whether the words are those of IEEE 754: ``weight`` itself, which the layer reads."""

    @property
    def weight(self) -> torch.Tensor:
        """The tensor that is quantized, in the shape of its values."""

    @property
    def words(self) -> int:
        """Number of codes stored: one per weight."""

    @property
    def width(self) -> Optional[int]:
        """Width in bits that is set now; None while that is open. Raises SiteError if none is."""

    @property
    def width_if_set(self) -> Optional[int]:
        """As ``width``; None also where that raises."""

    @property
    def widest(self) -> int:
        """The largest width that it may be used at."""

    @property
    def width_changes(self) -> bool:
        """Whether the code that runs the model may set another width before each forward."""

    @property
    def signed(self) -> bool:
        """Whether codes go below 0."""

    @property
    def narrow(self) -> bool:
        """Whether clean codes leave out the lowest."""

    def grid(self, width: int) -> Grid:
        """What codes stand for at ``width``. Raises SiteError if that cannot be read."""

    def grid_of(self, result: Any, width: int) -> Grid:
        """As :meth:`grid`, of what a call of the quantizer gave; it may say more than the model."""

    def clean(self, width: int) -> torch.Tensor:
        """The values without upsets, detached; changes nothing in the model."""

    def check(self, width: int) -> None:
        """Before the first forward: raise SiteError if codes cannot be read. May wait for a GPU."""

    def width_of(self, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
        """The width of a call ``quantizer(*args, **kwargs)``."""

    def value_of(self, result: Any) -> torch.Tensor:
        """The values in what that call gave; the result itself if it is a plain tensor."""

    def with_value(self, result: Any, value: torch.Tensor) -> Any:
        """What that call would have given with other values. Not asked for a plain tensor."""

    def step_words(self) -> StepWords:
        """Where step sizes lie, for the target ``step_sizes``. Raises SiteError if nowhere."""

    def activations(self) -> Activations:
        """For the target ``activations``. Raises SiteError if the layer quantizes none."""

    def activation_step_words(self) -> StepWords:
        """As :meth:`step_words`, of the activations."""


@dataclass(frozen=True)
class LayerSite:
    """A site of a layer with a tensor ``weight`` and one fixed width. A subclass says ``width`` and
    ``grid``, and whatever else is not as here."""

    name: str
    layer: Any
    quantizer: Any

    @property
    def store(self) -> Optional[Store]:
        return None

    @property
    def floats(self) -> bool:
        return False

    @property
    def weight(self) -> torch.Tensor:
        found: torch.Tensor = self.layer.weight
        return found

    @property
    def words(self) -> int:
        return int(self.weight.numel())

    @property
    def width(self) -> Optional[int]:
        raise NotImplementedError

    @property
    def width_if_set(self) -> Optional[int]:
        try:
            return self.width
        except SiteError:
            return None

    @property
    def widest(self) -> int:
        return self.width_if_set or 16

    @property
    def width_changes(self) -> bool:
        return False

    @property
    def signed(self) -> bool:
        return True

    @property
    def narrow(self) -> bool:
        return False

    def grid(self, width: int) -> Grid:
        raise NotImplementedError

    def grid_of(self, result: Any, width: int) -> Grid:
        return self.grid(width)

    def clean(self, width: int) -> torch.Tensor:
        with torch.no_grad():
            return self.value_of(self.quantizer(self.weight)).detach()

    def check(self, width: int) -> None:
        grid, clean = self.grid(width), self.clean(width)
        told, wanted = (grid.width, grid.signed, grid.narrow), (width, self.signed, self.narrow)
        if told != wanted:
            raise SiteError(
                f"site {self.name!r}: (width, signed, narrow) of its grid must be those of the "
                f"site, {wanted}; received {told}"
            )
        check_axis(self.name, grid.scale, clean.shape)
        if grid.zero_point is not None:
            check_axis(self.name, grid.zero_point, clean.shape)
        check_numbers(self.name, grid)
        check_holds(self.name, grid, clean)

    def width_of(self, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
        width = self.width
        if width is None:
            raise SiteError(f"site {self.name!r}: its width is not known in its forward")
        return width

    def value_of(self, result: Any) -> torch.Tensor:
        found: torch.Tensor = result
        return found

    def with_value(self, result: Any, value: torch.Tensor) -> Any:
        return value

    def step_words(self) -> StepWords:
        raise SiteError(
            f"targets: step_sizes, but the adapter of site {self.name!r} names none; exclude it"
        )

    def activations(self) -> Activations:
        raise SiteError(
            f"targets: activations, but the adapter of site {self.name!r} names none; exclude it"
        )

    def activation_step_words(self) -> StepWords:
        return self.step_words()


def layers(model: nn.Module, known: Callable[[nn.Module], bool]) -> Iterator[Tuple[str, nn.Module]]:
    """The modules of ``model`` that are ``known``, by the names that their sites have."""
    for name, module in named_modules(model):
        if known(module):
            yield check_name(name), module
