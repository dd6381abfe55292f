"""Calibration, metrics, profiling."""

import random

import numpy as np
import torch

from quan.func import QuanConv2d, QuanLinear

from .dist import reduce_mean


class AverageMeter:
    """A running mean."""

    def __init__(self):
        self.sum = self.count = self.avg = 0.0

    def update(self, value, n=1):
        self.sum += value * n
        self.count += n
        self.avg = self.sum / self.count


def set_global_seed(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def accuracy(output, target, topk=(1,)):
    """Percentages of targets among the ``k`` largest outputs, one tensor for each k."""
    _, predicted = output.topk(max(topk), dim=1)
    correct = predicted.eq(target.view(-1, 1))
    return [correct[:, :k].any(1).float().mean() * 100.0 for k in topk]


def update_meter(meter, loss, acc1, acc5, size):
    reduced = reduce_mean(torch.stack([loss.detach(), acc1, acc5])).tolist()
    for name, value in zip(("loss", "top1", "top5"), reduced):
        meter[name].update(value, size)


def new_meter():
    return {name: AverageMeter() for name in ("loss", "top1", "top5")}


def reset_batchnorm_stats(module):
    """Forget the running statistics and collect a plain mean of the batches to come."""
    if getattr(module, "track_running_stats", False):
        module.reset_running_stats()
        module.training = True
        module.momentum = None


@torch.no_grad()
def calibrate_batchnorm_state(
    model, loader, num_batch=30, reset=False, distributed_training=True, epoch=0
):
    """Collect BatchNorm statistics anew for the current widths, the rest in eval mode."""
    loader.sampler.set_epoch(epoch)
    model.eval()
    if reset:
        for module in model.modules():
            reset_batchnorm_stats(module)
    for index, (inputs, _) in enumerate(loader):
        if index >= num_batch:
            break
        model(inputs)
    if distributed_training:
        for buffer in model.buffers():
            if buffer.is_floating_point():
                reduce_mean(buffer)
    model.eval()


def model_profiling(model):
    """Bit operations of one image (1e9) and size of the weights (MB = 8 * 2**20 bits)."""
    operations = size = 0.0
    for module in model.modules():
        if isinstance(module, (QuanConv2d, QuanLinear)):
            w, a = module.fixed_bits if module.fixed_bits is not None else module.bits
            words = module.weight.numel()
            operations += w * min(a, 8) * words * getattr(module, "output_size", 1)
            size += w * words
    return operations / 1e9, size / (8 * 2**20)
