"""scikit-learn's bundled handwritten digits: 1,797 real images of 8x8 pixels."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import distributed as dist
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

TRAIN_IMAGES = 1437


def init_dataloader(cfg):
    """Train and test loaders, each with a sampler that has ``set_epoch``."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8.0 - 1.0
    labels = torch.tensor(digits.target, dtype=torch.long)
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(labels)))
    world = dist.get_world_size() if dist.is_initialized() else 1
    rank = dist.get_rank() if dist.is_initialized() else 0
    loaders = []
    for part, train in ((order[:TRAIN_IMAGES], True), (order[TRAIN_IMAGES:], False)):
        data = TensorDataset(images[part], labels[part])
        sampler = DistributedSampler(data, num_replicas=world, rank=rank, shuffle=train)
        loaders.append(
            DataLoader(data, batch_size=cfg.batch_size, sampler=sampler, drop_last=train)
        )
    return loaders
