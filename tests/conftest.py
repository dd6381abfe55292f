"""Settings that must be made before anything is imported."""

import os
import signal

# A shell that starts this in the background has it ignore Ctrl-C, and so every process started
# from here: nothing could be told to stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Processes share the cores: two of two OpenMP threads each run ten times slower than of one.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import torch  # noqa: E402

if not torch.cuda.is_available():
    # Triton decides at its import whether kernels run in its interpreter, which needs no GPU.
    os.environ.setdefault("TRITON_INTERPRET", "1")
