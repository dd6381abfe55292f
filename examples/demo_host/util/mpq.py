"""Mixed-precision policies: the same widths everywhere, or sampled ones."""

from quan.func import QuanConv2d, SwithableBatchNorm


def switch_bit_width(model, quan_scheduler, wbit, abits):
    """The same widths in every layer that ``quan_scheduler.excepts`` does not name."""
    for name, module in getattr(model, "module", model).named_modules():
        if isinstance(module, QuanConv2d) and name not in quan_scheduler.excepts:
            module.bits = (wbit, abits)
        elif isinstance(module, SwithableBatchNorm):
            module.switch_bn((wbit, abits))


def sample_one_mixed_policy(model, configs, sample_max=False, sample_min=False):
    """Sample widths for every free layer and switch its BatchNorm; returns both lists."""
    weights, activations, pair = [], [], None
    for name, module in getattr(model, "module", model).named_modules():
        if name in configs.quan.excepts:
            continue
        if isinstance(module, QuanConv2d):
            pair = module.sample_bit_conf(sample_max=sample_max, sample_min=sample_min)
            module.set_sampled_bit(pair)
            weights.append(pair[0])
            activations.append(pair[1])
        elif isinstance(module, SwithableBatchNorm) and pair is not None:
            module.switch_bn(pair)
            pair = None
    return weights, activations


def sample_max_cands(model, configs):
    return sample_one_mixed_policy(model, configs, sample_max=True)


def sample_min_cands(model, configs):
    return sample_one_mixed_policy(model, configs, sample_min=True)
