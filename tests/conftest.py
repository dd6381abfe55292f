"""Settings that must be made before anything is imported."""

import os

import torch

if not torch.cuda.is_available():
    # Triton decides at its import whether kernels run in its interpreter, which needs no GPU.
    os.environ.setdefault("TRITON_INTERPRET", "1")
