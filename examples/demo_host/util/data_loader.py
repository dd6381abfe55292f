"""scikit-learn's bundled handwritten digits: 1,797 real images of 8x8 pixels."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import distributed as dist
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

TRAIN_IMAGES = 1437
KEPT = Path(__file__).resolve().parents[1] / "output" / "digits.npz"


def load_digits():
    """Images, float64 of shape [1797, 8, 8], and labels; kept in a file, since importing
    scikit-learn takes longer than evaluating the network."""
    if not KEPT.exists():
        from sklearn import datasets

        digits = datasets.load_digits()
        try:
            KEPT.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=KEPT.parent, suffix=".npz", delete=False) as mine:
                np.savez(mine, images=digits.images, labels=digits.target)
            Path(mine.name).replace(KEPT)  # whole, though several processes may start at once
        except OSError:  # a folder that is read only
            return digits.images, digits.target
    with np.load(KEPT) as kept:
        return kept["images"], kept["labels"]


def init_dataloader(cfg):
    """Train and test loaders, each with a sampler that has ``set_epoch``."""
    images, labels = load_digits()
    images = torch.tensor(images, dtype=torch.float32).unsqueeze(1) / 8.0 - 1.0
    labels = torch.tensor(labels, dtype=torch.long)
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
