"""An LSQ ResNet-18 in the image of the host's: 21 quantized layers, 11.7 M words."""

from __future__ import annotations

from typing import Any, List, Tuple

import torch
from torch import nn
from torch.nn import functional as F


class Lsq(nn.Module):
    """Fake quantization with one learned step size for each width (LSQ, Esser et al., 2020)."""

    def __init__(self, bit_list: Tuple[int, ...], all_positive: bool, scale: float) -> None:
        super().__init__()
        self.bit_list = bit_list
        self.all_positive = all_positive
        self.s = nn.Parameter(torch.tensor([scale * 2.0 / (1 << k - 1) for k in bit_list]))

    def get_scale(self, bits: int, detach: bool = True) -> torch.Tensor:
        scale = self.s[self.bit_list.index(bits)]
        return scale.detach() if detach else scale

    def forward(self, x: torch.Tensor, bits: int, is_activation: bool = False) -> torch.Tensor:
        s = self.get_scale(bits, detach=False)
        low = 0 if self.all_positive else -(1 << bits - 1)
        high = (1 << bits) - 1 if self.all_positive else (1 << bits - 1) - 1
        x = (x / s).clamp(low, high)
        # Rounded straight-through in the usual way, which costs the host two passes more.
        return ((x.round() - x).detach() + x) * s


class QuanConv(nn.Conv2d):
    def __init__(self, *args: Any, bits: Tuple[int, int], **kwargs: Any) -> None:
        super().__init__(*args, bias=False, **kwargs)
        self.bits, self.fixed_bits = bits, None
        self.quan_w_fn = Lsq((bits[0],), False, float(self.weight.detach().std()))
        self.quan_a_fn = Lsq((bits[1],), True, 4.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.quan_w_fn(self.weight, self.bits[0], is_activation=False)
        if self.bits[1] < 32:
            x = self.quan_a_fn(x, self.bits[1], is_activation=True)
        return F.conv2d(x, weight, None, self.stride, self.padding, groups=self.groups)


class QuanLinear(nn.Linear):
    def __init__(self, fan_in: int, fan_out: int, bits: Tuple[int, int]) -> None:
        super().__init__(fan_in, fan_out)
        self.bits, self.fixed_bits = bits, None
        self.quan_w_fn = Lsq((bits[0],), False, float(self.weight.detach().std()))
        self.quan_a_fn = Lsq((bits[1],), True, 4.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.quan_w_fn(self.weight, self.bits[0], is_activation=False)
        return F.linear(self.quan_a_fn(x, self.bits[1], is_activation=True), weight, self.bias)


class Block(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int, bits: List[int]) -> None:
        super().__init__()
        pairs = [(bits.pop(0), 4) for _ in range(2 + (stride != 1 or cin != cout))]
        self.conv1 = QuanConv(cin, cout, 3, stride=stride, padding=1, bits=pairs[0])
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = QuanConv(cout, cout, 3, padding=1, bits=pairs[1])
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = (
            nn.Sequential(
                QuanConv(cin, cout, 1, stride=stride, bits=pairs[2]), nn.BatchNorm2d(cout)
            )
            if len(pairs) == 3
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class LsqResNet18(nn.Module):
    """First and last layer 8 bits, the others 3 and 4 in turn. The stem keeps the resolution, as
    for images of 32x32."""

    def __init__(self) -> None:
        super().__init__()
        bits = [3 + i % 2 for i in range(19)]
        channels = [64 << i for i in range(4)]
        self.conv1 = QuanConv(3, channels[0], 7, padding=3, bits=(8, 32))
        self.bn1 = nn.BatchNorm2d(channels[0])
        blocks, cin = [], channels[0]
        for i, cout in enumerate(channels):
            blocks += [Block(cin, cout, 1 + (i > 0), bits), Block(cout, cout, 1, bits)]
            cin = cout
        self.blocks = nn.Sequential(*blocks)
        self.fc = QuanLinear(cin, 1000, (8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.blocks(x).mean((2, 3)))
