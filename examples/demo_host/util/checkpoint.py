"""Checkpoints: the model, its moving average, and the last epoch."""

from pathlib import Path

import torch


def _inner(model):
    return getattr(model, "module", model)


def save_checkpoint(path, epoch, model, model_ema):
    """Write to a temporary name first: an interrupted save leaves no broken file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    state = {
        "epoch": epoch,
        "state_dict": _inner(model).state_dict(),
        "state_dict_ema": _inner(model_ema.ema).state_dict(),
    }
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path, model, model_ema):
    """Load into both; returns the epoch to go on with."""
    state = torch.load(path, map_location="cpu")
    _inner(model).load_state_dict(state["state_dict"])
    _inner(model_ema.ema).load_state_dict(state["state_dict_ema"])
    return state["epoch"] + 1
