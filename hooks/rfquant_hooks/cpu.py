"""A host written for CUDA, run without it. The one module here that needs torch."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import sys
from typing import Any, List

import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from .patching import Patches, exists

#: The host's function that starts the process group and chooses a CUDA device (util/dist.py:8).
_INIT = ("util.dist", "init_dist_nccl_backend")
_NO_OPERATOR = re.compile(r"operator (torchvision::\w+) does not exist")

# Declarations last as long as the process: torchvision has registered itself against them.
_declared: List[Any] = []


class WithoutCuda:
    """Replaces what needs CUDA; :meth:`undo` puts everything back but the declared operators."""

    def __init__(self) -> None:
        self._patches = Patches()

    def prepare(self) -> None:
        """Before the host is imported: CUDA is not to be seen, and not to be missed."""
        set_ = self._patches.set
        self._patches.item(os.environ, "CUDA_VISIBLE_DEVICES", "")
        set_(torch.cuda, "is_available", lambda: False)
        set_(torch.cuda, "device_count", lambda: 0)
        set_(torch.cuda, "set_device", lambda device: None)
        set_(torch.nn.Module, "cuda", _stay)
        set_(torch.Tensor, "cuda", _stay)
        set_(dist, "init_process_group", _with_gloo(dist.init_process_group))
        set_(DistributedDataParallel, "__init__", _on_cpu(DistributedDataParallel.__init__))
        if importlib.util.find_spec("torchvision") is not None:
            declare_missing_operators()

    def place_host(self) -> None:
        """After the host was imported: the device that it chooses is the CPU."""
        if not exists(_INIT[0]):
            return
        module = importlib.import_module(_INIT[0])
        original = getattr(module, _INIT[1], None)
        if original is None:
            return

        @functools.wraps(original)
        def init(configs: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(configs, *args, **kwargs)
            configs.device = "cpu"
            return result

        self._patches.replace(module, original, init)

    def undo(self) -> None:
        self._patches.undo()


def declare_missing_operators() -> None:
    """Import torchvision. A build for CUDA cannot load its operators beside a CPU torch, and
    fails on the first that it describes: declare each one that it misses, without a kernel.

    Raises torchvision's error if it is another one, or if this torch does not declare operators
    by name (1.13 does not, and its torchvision needs none declared)."""
    while True:
        try:
            importlib.import_module("torchvision")
            return
        except ImportError:
            return  # for the host to report, if it needs it
        except RuntimeError as error:
            missing = _NO_OPERATOR.search(str(error))
            if missing is None or missing[1] in _declared:
                raise
            for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
                del sys.modules[name]
            # The signature is never called; every operator gets that of nms.
            torch.library.define(missing[1], "(Tensor a, Tensor b, float c) -> Tensor")
            _declared.append(missing[1])


def _stay(self: Any, *args: Any, **kwargs: Any) -> Any:
    """``cuda()`` of a module or tensor that stays where it is."""
    return self


def _with_gloo(original: Any) -> Any:
    @functools.wraps(original)
    def init_process_group(backend: Any = None, *args: Any, **kwargs: Any) -> Any:
        if backend is None or "nccl" in str(backend).lower():
            backend = "gloo"
        return original(backend, *args, **kwargs)

    return init_process_group


def _on_cpu(original: Any) -> Any:
    @functools.wraps(original)
    def init(
        self: Any,
        module: Any,
        device_ids: Any = None,
        output_device: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if all(parameter.device.type == "cpu" for parameter in module.parameters()):
            device_ids = output_device = None
        original(self, module, device_ids, output_device, *args, **kwargs)

    return init
