"""From a floating-point network to a quantized one."""

from torch import nn

from .func import QuanConv2d, QuanLinear, SwithableBatchNorm
from .quantizer import LsqQuan

_LAYERS = {nn.Conv2d: QuanConv2d, nn.Linear: QuanLinear}


def quantizer(cfg, scale_grad):
    if cfg["mode"] != "lsq":
        raise ValueError(f"quan: mode must be lsq; received {cfg['mode']!r}")
    return LsqQuan(cfg["all_positive"], cfg["symmetric"], scale_grad)


def find_modules_to_quantize(model, configs):
    """New modules by the name of the one that each replaces; ``quan.excepts`` get 8 bits."""
    found = {}
    for name, module in model.named_modules():
        excepted = name in configs.quan.excepts
        if type(module) is nn.BatchNorm2d:
            found[name] = SwithableBatchNorm(module, None if excepted else configs.target_bits)
        elif type(module) in _LAYERS:
            fixed_bits = None
            if excepted:
                fixed_bits = (8, 8) if isinstance(module, nn.Linear) else (8, 32)
            found[name] = _LAYERS[type(module)](
                module,
                bits_list=configs.target_bits,
                quan_w_fn=quantizer(configs.quan.weight, configs.scale_gradient),
                quan_a_fn=quantizer(configs.quan.act, configs.scale_gradient),
                fixed_bits=fixed_bits,
            )
    return found


def replace_module_by_names(model, modules_to_replace):
    """Put the new modules in place; returns ``model``."""
    for name, module in modules_to_replace.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module)
    return model
