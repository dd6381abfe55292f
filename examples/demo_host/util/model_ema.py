"""Exponential moving average of a model: what is evaluated."""

from copy import deepcopy

import torch


class ModelEma:
    """``ema`` is a copy of the model that follows it with ``decay`` per update."""

    def __init__(self, model, decay):
        self.ema = deepcopy(model).eval()
        self.decay = decay
        for parameter in self.ema.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update(self, model):
        state = model.state_dict()
        for name, average in self.ema.state_dict().items():
            if average.is_floating_point():
                average.lerp_(state[name].detach(), 1.0 - self.decay)
            else:
                average.copy_(state[name])
