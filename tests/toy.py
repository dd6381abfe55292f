"""A tiny quantized network with the attributes that a host's has, for unit tests."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

WIDTHS = (6, 5, 4, 3, 2)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


class Quantizer(nn.Module):
    """LSQ with one step size per width; ``per_channel`` gives one per output channel."""

    def __init__(self, weight=None, widths=WIDTHS, symmetric=False, per_channel=False):
        super().__init__()
        self.bit_list = tuple(widths)
        self.symmetric = symmetric
        self.all_positive = weight is None
        self.per_channel = per_channel
        self.register_buffer("init_state", torch.zeros(len(widths)))
        self.s = nn.Parameter(torch.ones(len(widths)))
        if weight is not None:
            steps = [weight.detach().abs().mean() * 2 / 2 ** (k / 2 - 0.5) for k in widths]
            self.s.data.copy_(torch.stack(steps))
            self.init_state.fill_(1)
            if per_channel:
                channels = torch.linspace(0.5, 1.5, weight.shape[0])
                self.register_buffer("channels", channels.reshape(-1, *[1] * (weight.dim() - 1)))

    def get_scale(self, bits, detach=True):
        s = self.s[self.bit_list.index(int(bits))] if bits in self.bit_list else self._unknown(bits)
        if self.per_channel:
            s = s * self.channels
        return s.detach() if detach else s

    def _unknown(self, bits):
        raise KeyError(int(bits))

    def grid(self, bits):
        if self.all_positive:
            return 0, 2**bits - 1
        return -(2 ** (bits - 1)) + int(self.symmetric), 2 ** (bits - 1) - 1

    def forward(self, x, bits, is_activation=False):
        if bits is None or bits >= 32:
            return x
        position = self.bit_list.index(bits) if bits in self.bit_list else self._unknown(bits)
        if self.init_state[position] == 0:
            self.init_state[position] = 1
            self.s.data[position] = x.detach().abs().mean() * 2 / 2 ** (bits / 2)
        s = self.get_scale(bits, detach=False)
        return _Round.apply((x / s).clamp(*self.grid(bits))) * s


class QuanConv2d(nn.Conv2d):
    def __init__(self, cin, cout, fixed_bits=None, **quantizer):
        super().__init__(cin, cout, 3, padding=1, bias=False)
        self.bits = None
        self.fixed_bits = fixed_bits
        widths = WIDTHS if fixed_bits is None else (fixed_bits[0],)
        self.quan_w_fn = Quantizer(self.weight, widths, **quantizer)
        self.quan_a_fn = Quantizer(None, WIDTHS if fixed_bits is None else (fixed_bits[1],))

    def forward(self, x):
        weight = self.weight
        bits = self.fixed_bits if self.fixed_bits is not None else self.bits
        if bits is not None:
            weight = self.quan_w_fn(weight, bits[0], is_activation=False)
            x = self.quan_a_fn(x, bits[1], is_activation=True)
        return F.conv2d(x, weight, padding=1)


class SwithableBatchNorm(nn.Module):
    def __init__(self, features, bits_list=WIDTHS):
        super().__init__()
        self.bits_list = bits_list
        self.bit_width = None
        self.bn = nn.ModuleDict(
            {f"{w}_{a}": nn.BatchNorm2d(features) for w in WIDTHS for a in WIDTHS}
        )

    def switch_bn(self, bit_width):
        self.bit_width = bit_width

    def forward(self, x):
        w, a = self.bit_width or (6, 6)
        return self.bn[f"{w}_{a}"](x)


class QuanLinear(nn.Linear):
    def __init__(self, fan_in, fan_out, fixed_bits=(8, 8), **quantizer):
        super().__init__(fan_in, fan_out)
        self.bits = None
        self.fixed_bits = fixed_bits
        self.quan_w_fn = Quantizer(self.weight, (fixed_bits[0],), **quantizer)
        self.quan_a_fn = Quantizer(None, (fixed_bits[1],))

    def forward(self, x):
        weight = self.quan_w_fn(self.weight, self.fixed_bits[0], is_activation=False)
        return F.linear(
            self.quan_a_fn(x, self.fixed_bits[1], is_activation=True), weight, self.bias
        )


class Net(nn.Module):
    """conv1 (8 bits, fixed), two dynamic convolutions, fc (8 bits, fixed)."""

    def __init__(self, **quantizer):
        super().__init__()
        self.conv1 = QuanConv2d(1, 8, fixed_bits=(8, 32), **quantizer)
        self.conv2 = QuanConv2d(8, 16, **quantizer)
        self.bn2 = SwithableBatchNorm(16)
        self.conv3 = QuanConv2d(16, 16, **quantizer)
        self.bn3 = SwithableBatchNorm(16)
        self.fc = QuanLinear(16, 10, **quantizer)

    def forward(self, x):
        x = self.conv1(x).relu()
        x = self.bn2(self.conv2(x)).relu()
        x = self.bn3(self.conv3(x)).relu()
        return self.fc(x.mean((2, 3)))


def net(bits=((4, 4), (3, 5)), warm=True, **quantizer):
    """A network in eval mode, its widths set, its activation step sizes initialized."""
    generator = torch.Generator().manual_seed(0)
    model = Net(**quantizer)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 or name == "fc.bias":
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    for layer in (model.conv1, model.conv2, model.conv3, model.fc):
        layer.quan_w_fn = Quantizer(layer.weight, layer.quan_w_fn.bit_list, **quantizer)
    set_bits(model, bits)
    model.eval()
    if warm:
        with torch.no_grad():
            model(batch())
    return model


def set_bits(model, bits):
    for conv, bn, pair in ((model.conv2, model.bn2, bits[0]), (model.conv3, model.bn3, bits[1])):
        conv.bits = pair
        bn.switch_bn(pair)


def batch(n=4):
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def percent(output):
    """A number in 0 ... 100 that every bit of an output changes: in place of an accuracy."""
    return 50.0 + 50.0 * float(torch.sin(output.double().sum()))
