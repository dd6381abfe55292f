"""An LSQ MobileNetV2 in the image of the host's: 53 quantized layers, 3.5 M words."""

from __future__ import annotations

from typing import List

import torch
from lsq_resnet import Lsq, QuanConv, QuanLinear
from torch import nn

#: Expansion, channels, blocks and stride of each stage (Sandler et al., 2018, table 2); the second
#: stage keeps the resolution, as for images of 32x32.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv(
    cin: int,
    cout: int,
    kernel: int,
    bits: int,
    stride: int = 1,
    groups: int = 1,
    linear: bool = False,
) -> nn.Sequential:
    """A convolution, BatchNorm and ReLU6; ``linear``: it reads the output of a bottleneck, whose
    codes have signs."""
    pair = (bits, 32 if cin == 3 else 6)
    padding = kernel // 2
    layer = QuanConv(cin, cout, kernel, stride=stride, padding=padding, groups=groups, bits=pair)
    layer.quan_a_fn = Lsq((pair[1],), not linear, 4.0)
    return nn.Sequential(layer, nn.BatchNorm2d(cout), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Pointwise to more channels, depthwise, pointwise to few channels without an activation."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int, bits: List[int]) -> None:
        super().__init__()
        self.residual = stride == 1 and cin == cout
        wide = cin * expansion
        layers = [conv(cin, wide, 1, bits.pop(0), linear=True)] if expansion > 1 else []
        layers += [
            conv(wide, wide, 3, bits.pop(0), stride, groups=wide),
            conv(wide, cout, 1, bits.pop(0))[:2],
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class LsqMobileNetV2(nn.Module):
    """First and last layer 8 bits, the others 3 to 6 in turn; activations 6 bits."""

    def __init__(self) -> None:
        super().__init__()
        bits = [3 + i % 4 for i in range(51)]
        blocks: List[nn.Module] = [conv(3, 32, 3, 8)]
        cin = 32
        for expansion, cout, number, stride in STAGES:
            for i in range(number):
                blocks.append(InvertedResidual(cin, cout, stride if i == 0 else 1, expansion, bits))
                cin = cout
        blocks.append(conv(cin, 1280, 1, bits.pop(0), linear=True))
        self.features = nn.Sequential(*blocks)
        self.classifier = QuanLinear(1280, 1000, (8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean((2, 3)))
