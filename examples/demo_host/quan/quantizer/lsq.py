"""Learned step size quantization (Esser et al., ICLR 2020), one step size for each width."""

import torch
from torch import distributed as dist
from torch import nn


class _Round(torch.autograd.Function):
    """Rounds; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


class _ScaleGradient(torch.autograd.Function):
    """The value itself; its gradient multiplied by ``factor``."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor, None


class IdentityQuan(nn.Module):
    """Quantizes nothing."""

    def forward(self, x, bits, is_activation=False):
        return x

    def init_from(self, x, bit_list):
        pass


class LsqQuan(nn.Module):
    """Fake quantization: ``round(clamp(x / s)) * s`` with a learned step size ``s``.

    Codes lie in [0, 2^b - 1] (``all_positive``), [-2^(b-1), 2^(b-1) - 1], or without the lowest
    one of these (``symmetric``). ``s`` has shape [number of widths].
    """

    def __init__(self, all_positive=False, symmetric=False, scale_grad=True):
        super().__init__()
        self.all_positive = all_positive
        self.symmetric = symmetric
        self.scale_gradient = scale_grad
        self.s = nn.Parameter(torch.ones(1))
        self.bit_list = (8,)
        self.bit_mapping = {8: 0}
        self.bits = None

    def init_from(self, x, bit_list):
        """Take the widths; set the step sizes from the weight ``x`` unless it is None."""
        self.bit_list = tuple(bit_list)
        self.bit_mapping = {bits: i for i, bits in enumerate(self.bit_list)}
        self.register_buffer("init_state", torch.zeros(len(self.bit_list)))
        steps = torch.ones(len(self.bit_list))
        if x is not None:
            spread = x.detach().abs().mean()
            steps = torch.stack([2 * spread / self.thresholds(b)[1] ** 0.5 for b in bit_list])
            self.init_state.fill_(1)
        self.s = nn.Parameter(steps)

    def thresholds(self, bits):
        """Lowest and highest code at ``bits``."""
        if self.all_positive:
            return 0, 2**bits - 1
        return -(2 ** (bits - 1)) + int(self.symmetric), 2 ** (bits - 1) - 1

    def _index_bits(self, bits):
        return self.bit_mapping[int(bits)]

    def get_scale(self, bits, detach=True):
        """The step size at ``bits``, a tensor without dimensions. KeyError: no such width."""
        s = self.s[self._index_bits(bits)]
        return s.detach() if detach else s

    def weight_bound(self, bits):
        """Lowest and highest value that can be represented at ``bits``."""
        low, high = self.thresholds(int(bits))
        s = self.get_scale(bits)
        return s * low, s * high

    def forward(self, x, bits, is_activation=False):
        if bits is None or bits >= 32:
            return x
        index = self._index_bits(bits)
        low, high = self.thresholds(int(bits))
        self.bits = bits
        if self.init_state[index] == 0:
            self._init_step(x, index, high)
        s = self.s[index]
        if self.scale_gradient:
            s = _ScaleGradient.apply(s, (high * x.numel()) ** -0.5)
        return _Round.apply((x / s).clamp(low, high)) * s

    def _init_step(self, x, index, high):
        """Activation step sizes are set by the first data that comes by."""
        step = 2 * x.detach().abs().mean() / high**0.5
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(step)
            step /= dist.get_world_size()
        self.s.data[index] = step
        self.init_state[index] = 1
