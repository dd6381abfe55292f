"""Quantized layers, and BatchNorm that is switched with the bit widths."""

import copy
import random

import torch
from torch import nn
from torch.nn import functional as F


class QuanConv2d(nn.Conv2d):
    """A convolution at ``bits = (weight width, activation width)``, or at ``fixed_bits``."""

    def __init__(self, m, bits_list, quan_w_fn, quan_a_fn, fixed_bits=None):
        super().__init__(
            m.in_channels, m.out_channels, m.kernel_size, m.stride, m.padding, bias=False
        )
        self.weight = nn.Parameter(m.weight.detach())
        self.bits = None
        self.fixed_bits = fixed_bits
        self.bits_list = bits_list
        self.output_size = None
        self.quan_w_fn = quan_w_fn
        self.quan_a_fn = quan_a_fn
        self.register_buffer("current_bit_cands", torch.tensor(bits_list, dtype=torch.int))
        self.quan_w_fn.init_from(m.weight, bits_list if fixed_bits is None else fixed_bits[:1])
        self.quan_a_fn.init_from(None, bits_list if fixed_bits is None else fixed_bits[1:])

    @property
    def weight_bit_cands(self):
        return self.current_bit_cands

    @property
    def act_bit_cands(self):
        return self.current_bit_cands

    def set_bit_cands(self, cands):
        self.current_bit_cands = torch.as_tensor(cands, dtype=torch.int)

    def set_sampled_bit(self, bit_pair):
        self.bits = bit_pair

    def sample_bit_conf(self, sample_max=False, sample_min=False):
        """A pair of widths: the largest, the smallest, or each at random."""
        cands = self.current_bit_cands.tolist()
        if sample_max or sample_min:
            bits = max(cands) if sample_max else min(cands)
            return bits, bits
        return random.choice(cands), random.choice(cands)

    def forward(self, x):
        weight = self.weight
        bits = self.fixed_bits if self.fixed_bits is not None else self.bits
        if bits is not None:
            weight = self.quan_w_fn(weight, bits[0], is_activation=False)
            x = self.quan_a_fn(x, bits[1], is_activation=True)
        out = F.conv2d(x, weight, stride=self.stride, padding=self.padding)
        self.output_size = out.shape[-1] ** 2
        return out


class QuanLinear(nn.Linear):
    """A fully connected layer at ``fixed_bits``."""

    def __init__(self, m, bits_list, quan_w_fn, quan_a_fn, fixed_bits=None):
        super().__init__(m.in_features, m.out_features, bias=m.bias is not None)
        self.weight = nn.Parameter(m.weight.detach())
        if m.bias is not None:
            self.bias = nn.Parameter(m.bias.detach())
        self.bits = None
        self.fixed_bits = fixed_bits
        self.quan_w_fn = quan_w_fn
        self.quan_a_fn = quan_a_fn
        self.quan_w_fn.init_from(m.weight, bits_list if fixed_bits is None else fixed_bits[:1])
        self.quan_a_fn.init_from(None, bits_list if fixed_bits is None else fixed_bits[1:])

    def forward(self, x):
        weight = self.weight
        bits = self.fixed_bits if self.fixed_bits is not None else self.bits
        if bits is not None:
            weight = self.quan_w_fn(weight, bits[0], is_activation=False)
            x = self.quan_a_fn(x, bits[1], is_activation=True)
        return F.linear(x, weight, self.bias)


class SwithableBatchNorm(nn.Module):
    """One BatchNorm for each pair of widths; a single one if ``bits_list`` is None."""

    def __init__(self, m, bits_list=None):
        super().__init__()
        self.bits_list = bits_list
        self.bit_width = None
        if bits_list is None:
            self.bn = copy.deepcopy(m)
        else:
            self.bn_list = nn.ModuleList(
                nn.ModuleList(copy.deepcopy(m) for _ in bits_list) for _ in bits_list
            )

    @property
    def size(self):
        return 1 if self.bits_list is None else len(self.bits_list) ** 2

    def switch_bn(self, bit_width):
        if self.bits_list is not None:
            self.bit_width = bit_width

    def forward(self, x):
        if self.bits_list is None:
            return self.bn(x)
        w, a = (0, 0)
        if self.bit_width is not None:
            w, a = (self.bits_list.index(bits) for bits in self.bit_width)
        return self.bn_list[w][a](x)
