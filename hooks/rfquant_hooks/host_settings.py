"""Settings that the published host takes and then fails on: told as soon as they are read."""

from __future__ import annotations

import ast
from typing import Any

from .contract import PluginError, setting
from .repair import Host, source


def check_settings(host: Host, config: Any) -> None:
    """Raise PluginError for a setting that this host's code cannot run with."""
    _check_epochs(host, config)
    _check_search(host, config)


def _check_epochs(host: Host, config: Any) -> None:
    """main.py:129 starts a schedule at epoch 40 in every mode, and util/weight_schd.py:6
    asserts that it ends later than that."""
    epochs = setting(config, "epochs")
    schedule = getattr(host.module("util.weight_schd"), "CosineSched", None)
    if schedule is None or isinstance(epochs, bool) or not isinstance(epochs, int):
        return
    for start in host.keyword_values("CosineSched", "start_step"):
        if not isinstance(start, ast.BinOp) or not isinstance(start.op, ast.Mult):
            continue
        first = getattr(start.right, "value", None)
        if not isinstance(first, int) or epochs > first:
            continue
        try:
            schedule(start_step=first, max_step=epochs, eta_start=0, eta_end=0.1)
        except AssertionError:
            raise PluginError(
                f"epochs: {epochs}: this host needs more than {first} in every mode, eval and "
                f"search included (its schedule starts at epoch {first}); set epochs: "
                f"{first + 1} or more"
            ) from None


def _check_search(host: Host, config: Any) -> None:
    """util/greedy_search.py:251 reads the candidates that only split_aw_cands makes; main.py
    runs eval where both are asked for."""
    search = host.module("util.greedy_search")
    if search is None or "current_bit_cands_w" not in source(search):
        return
    searches = setting(config, "search", False) and not setting(config, "eval", False)
    split = setting(config, "split_aw_cands", False)
    if searches and not split:
        raise PluginError(
            f"split_aw_cands: {str(split).lower()}: search: true needs split_aw_cands: true "
            "(the search keeps candidates for weights and for activations apart)"
        )
