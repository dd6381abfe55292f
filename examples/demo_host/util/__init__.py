"""Everything beside quantization."""

from .checkpoint import load_checkpoint, save_checkpoint
from .config import get_config
from .data_loader import init_dataloader
from .utils import AverageMeter, set_global_seed

__all__ = [
    "AverageMeter",
    "get_config",
    "init_dataloader",
    "load_checkpoint",
    "save_checkpoint",
    "set_global_seed",
]
