"""Train and validate."""

import torch
from torch import nn
from torch.nn import functional as F

from policy import MIN_POLICY
from util.dist import log
from util.mpq import sample_max_cands, sample_min_cands, sample_one_mixed_policy
from util.qat import auxiliary_quantized_loss, set_bit_width
from util.utils import (
    accuracy,
    calibrate_batchnorm_state,
    model_profiling,
    new_meter,
    set_global_seed,
    update_meter,
)

__all__ = ["train", "validate"]


def train(
    train_loader,
    model,
    criterion,
    optimizer,
    epoch,
    monitors,
    configs,
    model_ema=None,
    nr_random_sample=2,
    mode="training",
    soft_criterion=None,
    teacher_model=None,
    optimizer_q=None,
    annealing_schedule=None,
    freezing_annealing_schedule=None,
):
    """One epoch: for each batch the widest sub-network, then random ones that learn from it.

    Returns top-1 and top-5 (percent) and the loss of the widest one.
    """
    set_global_seed(configs.seed * 1_000_003 + epoch * len(train_loader) + 1)
    model.train()
    if model_ema is not None:
        model_ema.ema.train()
    meter = new_meter()
    quantization_error = epoch >= configs.quantization_error_from
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        if optimizer_q is not None:
            optimizer_q.zero_grad()

        sample_max_cands(model, configs)
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        teacher = outputs.detach()
        update_meter(meter, loss, *accuracy(teacher, targets, (1, 5)), len(targets))

        for _ in range(nr_random_sample):
            sample_one_mixed_policy(model, configs)
            outputs = model(inputs)
            soft = F.kl_div(
                F.log_softmax(outputs, -1), F.softmax(teacher, -1), reduction="batchmean"
            )
            loss = (criterion(outputs, targets) + soft) / 2
            if quantization_error:
                loss = loss + auxiliary_quantized_loss(model)
            loss.backward()

        nn.utils.clip_grad_value_(model.parameters(), 1.0)
        optimizer.step()
        if optimizer_q is not None:
            optimizer_q.step()
        if model_ema is not None:
            model_ema.update(model)
    return meter["top1"].avg, meter["top5"].avg, meter["loss"].avg


def validate(
    data_loader,
    model,
    criterion,
    epoch,
    monitors,
    configs,
    nr_random_sample=3,
    alpha=1,
    train_loader=None,
    eval_predefined_arch=None,
    bops_limit=1e10,
    train_mode=False,
):
    """Evaluate ``model`` at each architecture; returns their top-1 accuracies in percent."""
    criterion = nn.CrossEntropyLoss()
    model.train(train_mode)
    meters = []
    for index, arch in enumerate(eval_predefined_arch or [MIN_POLICY]):
        if arch[0] == -1:
            sample_min_cands(model, configs)
        else:
            set_bit_width(model, arch[-2], arch[-1])
        with torch.no_grad():
            if configs.post_training_batchnorm_calibration:
                calibrate_batchnorm_state(model, loader=train_loader, reset=True)
            meter = new_meter()
            for inputs, targets in data_loader:
                outputs = model(inputs)
                loss = criterion(outputs, targets)
                update_meter(meter, loss, *accuracy(outputs, targets, (1, 5)), len(targets))
        meters.append(meter)
        operations, size = model_profiling(model)
        log(
            f"Arch {index}: {operations:.4f} G bit operations, {size:.3f} MB of weights, "
            f"top-1 {meter['top1'].avg:.2f} %"
        )
    return [meter["top1"].avg for meter in meters]
