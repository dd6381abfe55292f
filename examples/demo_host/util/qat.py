"""Widths of the quantized layers, and the loss that pulls weights to their grid."""

import torch

from quan.func import QuanConv2d, SwithableBatchNorm


def get_quantized_layers(model):
    """Convolutions whose width is free and set, and the BatchNorms that follow them."""
    layers, norms = [], []
    for module in model.modules():
        if isinstance(module, QuanConv2d) and module.bits is not None:
            layers.append(module)
        elif isinstance(module, SwithableBatchNorm) and len(norms) < len(layers):
            norms.append(module)
    return layers, norms


def set_bit_width(model, confw, confa):
    """One width for each layer of :func:`get_quantized_layers`, BatchNorm switched along."""
    layers, norms = get_quantized_layers(model)
    for layer, norm, w, a in zip(layers, norms, confw, confa):
        layer.bits = (w, a)
        norm.switch_bn(layer.bits)


def auxiliary_quantized_loss(model):
    """Mean squared distance of the weights, clipped to their range, from their grid.

    Calls the weight quantizers outside the layers.
    """
    loss = 0.0
    for module in model.modules():
        if isinstance(module, QuanConv2d) and module.bits is not None:
            quantizer, bits = module.quan_w_fn, module.bits[0]
            low, high = quantizer.weight_bound(bits=bits)
            clipped = torch.max(torch.min(module.weight, high), low)
            on_grid = quantizer(module.weight, bits=bits).detach()
            loss = loss + (clipped - on_grid).pow(2).mean()
    return loss
