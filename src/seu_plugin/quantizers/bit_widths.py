"""Searched bit widths: read the host's JSON, check it against a model, apply it.

Format (the host's search output)::

    {"arch": ..., "bops_limits": ..., "target_bits": [6, 5, 4, 3, 2],
     "configurations": [{"bops_limit": ..., "weight_bits": [...], "act_bits": [...]}]}

with one entry per quantized layer without ``fixed_bits``, in ``named_modules`` order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

from torch import nn

from rfquant_hooks.contract import BitWidths

from ..errors import BitWidthError, ConfigError, did_you_mean
from ..fields import shown
from ..files import read_json
from .adapters.rfquant import is_quantized
from .names import named_modules

PathLike = Union[str, "Path"]
#: Bytes that a bit-width file may have.
LARGEST = 1 << 22


def read_bit_widths(json_path: PathLike, config_index: int = 0) -> BitWidths:
    """Read one configuration of a bit-width file.

    Raises BitWidthError, naming the file and the place in it, if the file is missing, is not
    JSON, lacks a key, has no such index, or lists anything but integers of equal number.
    """
    if not isinstance(json_path, (str, Path)):
        raise BitWidthError(f"json_path: must be a path; received {shown(json_path)}")
    path = Path(json_path)
    data = _read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("configurations"), list):
        near = isinstance(data, dict) and "configurations" not in data
        hint = did_you_mean("configurations", data) if near else ""
        raise BitWidthError(f"{path}: must be an object with a list 'configurations'{hint}")
    configurations = data["configurations"]
    if not configurations:
        raise BitWidthError(f"{path}: its list 'configurations' is empty")
    is_index = isinstance(config_index, int) and not isinstance(config_index, bool)
    if not is_index or not 0 <= config_index < len(configurations):
        raise BitWidthError(
            f"{path}: has {len(configurations)} configuration(s), so index must be in "
            f"[0, {len(configurations) - 1}]; received {shown(config_index)}"
        )
    where = f"{path}: configurations[{config_index}]"
    chosen = configurations[config_index]
    weights = _widths(chosen, "weight_bits", where)
    activations = _widths(chosen, "act_bits", where)
    if len(weights) != len(activations):
        raise BitWidthError(
            f"{where}: weight_bits has {len(weights)} entries, act_bits {len(activations)}: "
            "both need one per quantized layer"
        )
    return BitWidths(weights, activations, source=where)


def load_bit_width_config_from_json(
    json_path: PathLike, config_index: int = 0
) -> Tuple[List[int], List[int]]:
    """``(weight_bits, act_bits)`` of one configuration of a bit-width file, as lists of ints.

    Both can go to the host's ``set_bit_width``. Raises BitWidthError (see
    :func:`read_bit_widths`).
    """
    widths = read_bit_widths(json_path, config_index)
    return list(widths.weights), list(widths.activations)


def setup_model_with_bit_width_config(
    model: nn.Module, json_path: PathLike, config_index: int = 0, verbose: bool = True
) -> None:
    """Read one configuration of a bit-width file and set the model's layers to it.

    Each layer's switchable BatchNorm is switched along. The model is changed only if all of it
    fits. Raises BitWidthError. ``verbose`` prints the width of each layer.
    """
    widths = read_bit_widths(json_path, config_index)
    layers = check_bit_widths(model, widths)
    apply_bit_widths(model, widths)
    if verbose:
        print(f"bit widths from {widths.source}:")
        for layer, w, a in zip(layers, widths.weights, widths.activations):
            print(f"  {layer.name}: weight {w} bits, activation {a} bits")


def check_bit_widths(model: nn.Module, widths: BitWidths) -> List[DynamicLayer]:
    """The layers that ``widths`` is for, in order. Changes nothing.

    Raises BitWidthError if the number of layers differs, or a layer or its BatchNorm does not
    offer a width.
    """
    layers = dynamic_layers(model)
    if not layers:
        raise BitWidthError(f"{widths.source}: the model has no quantized layer without fixed_bits")
    for name, values in (("weight_bits", widths.weights), ("act_bits", widths.activations)):
        if len(values) != len(layers):
            raise BitWidthError(
                f"{widths.source}: {name} has {len(values)} entries, but the model has "
                f"{len(layers)} quantized layers without fixed_bits "
                f"({layers[0].name} ... {layers[-1].name})"
            )
    for position, layer in enumerate(layers):
        pairs = (
            ("weight_bits", widths.weights[position], layer.module.quan_w_fn),
            ("act_bits", widths.activations[position], layer.module.quan_a_fn),
        )
        for name, width, quantizer in pairs:
            offered = _offered(quantizer)
            bn_offered = getattr(layer.batch_norm, "bits_list", None)
            for owner, allowed in ((layer.name, offered), (layer.batch_norm_name, bn_offered)):
                if allowed is not None and width not in allowed:
                    raise BitWidthError(
                        f"{widths.source}: {name}[{position}] is {width}, which {owner!r} does "
                        f"not offer; its widths are {', '.join(map(str, allowed))}"
                    )
    return layers


def apply_bit_widths(model: nn.Module, widths: BitWidths) -> None:
    """Set the model's dynamic layers and their BatchNorms to ``widths``, as integers.

    Raises BitWidthError, and then changes nothing, if the widths do not fit.
    """
    layers = check_bit_widths(model, widths)
    for layer, w, a in zip(layers, widths.weights, widths.activations):
        layer.module.bits = (w, a)
        if layer.batch_norm is not None:
            layer.batch_norm.switch_bn((w, a))


@dataclass(frozen=True)
class DynamicLayer:
    """A quantized layer whose width is not fixed, and the switchable BatchNorm that follows."""

    name: str
    module: Any
    batch_norm: Any = None
    batch_norm_name: Optional[str] = None


def dynamic_layers(model: nn.Module) -> List[DynamicLayer]:
    """Quantized layers without ``fixed_bits`` in ``named_modules`` order (the host's order of
    an architecture's entries: util/mpq.py, sample_one_mixed_policy)."""
    found: List[DynamicLayer] = []
    waiting = False
    for name, module in named_modules(model):
        if is_quantized(module):
            if getattr(module, "fixed_bits", None) is None:
                found.append(DynamicLayer(name, module))
                waiting = True
        elif waiting and hasattr(module, "switch_bn"):
            last = found[-1]
            found[-1] = DynamicLayer(last.name, last.module, module, name)
            waiting = False
    return found


def _offered(quantizer: Any) -> Optional[Sequence[int]]:
    """Widths a quantizer has a step size for; None if it does not say."""
    offered = getattr(quantizer, "bit_list", None)
    return None if offered is None else tuple(offered)


def _read_json(path: Path) -> Any:
    try:
        missing = not path.exists()
    except (OSError, ValueError):  # a name that no file can have
        missing = False
    if missing:
        near = sorted(p.name for p in path.parent.glob("*.json")) if path.parent.is_dir() else []
        hint = did_you_mean(path.name, near)
        raise BitWidthError(
            f"{path}: cannot read the bit-width file (No such file or directory){hint}"
        )
    try:
        return read_json(path, LARGEST)
    except ConfigError as error:
        told = str(error).replace(": cannot read (", ": cannot read the bit-width file (")
        raise BitWidthError(told) from error


def _widths(chosen: Any, key: str, where: str) -> Tuple[int, ...]:
    if not isinstance(chosen, dict) or key not in chosen:
        hint = did_you_mean(key, chosen) if isinstance(chosen, dict) else ""
        raise BitWidthError(f"{where}: has no {key!r}{hint}")
    values = chosen[key]
    if not isinstance(values, list) or not values:
        raise BitWidthError(f"{where}.{key}: must be a list of integers; received {shown(values)}")
    for position, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BitWidthError(
                f"{where}.{key}[{position}]: must be a positive integer; received {shown(value)}"
            )
    return tuple(values)


def check_widths_used(
    model: nn.Module, widths: BitWidths, used: Mapping[str, Sequence[int]]
) -> None:
    """Raise BitWidthError if the host evaluated other widths (``used``, by site name) than it was
    given."""
    wanted = {layer.name: width for layer, width in zip(dynamic_layers(model), widths.weights)}
    for name, found in used.items():
        if name in wanted and tuple(found) != (wanted[name],):
            evaluated = ", ".join(map(str, found))
            instead = f"evaluated it at {evaluated}" if evaluated else "did not evaluate it"
            raise BitWidthError(
                f"{widths.source}: gives {name!r} {wanted[name]} bits, but the host {instead}"
            )
