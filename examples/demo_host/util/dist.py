"""Process groups: one member, or as many as WORLD_SIZE says (gloo, CPU)."""

import os

from torch import distributed as dist


def init_dist(configs):
    configs.distributed = "WORLD_SIZE" in os.environ
    configs.device = "cpu"
    configs.rank, configs.world_size = 0, 1
    if configs.distributed:
        dist.init_process_group("gloo", init_method="env://")
        configs.rank, configs.world_size = dist.get_rank(), dist.get_world_size()


def is_master():
    return not dist.is_initialized() or dist.get_rank() == 0


def log(message):
    """Print, on the first rank."""
    if is_master():
        print(message, flush=True)


def reduce_mean(tensor):
    """The mean over all ranks."""
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(tensor)
        tensor /= dist.get_world_size()
    return tensor
