"""A miniature mixed-precision host: trains and evaluates a quantized network on digits.

    python main.py configs/train_digits.yaml
    python main.py configs/eval_digits.yaml

Relative paths in a configuration are relative to this file's folder.
"""

from pathlib import Path

import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from model import create_model
from policy import BITS
from process import train, validate
from quan import find_modules_to_quantize, replace_module_by_names
from util import get_config, init_dataloader, load_checkpoint, save_checkpoint, set_global_seed
from util.dist import init_dist, is_master, log
from util.model_ema import ModelEma
from util.mpq import switch_bit_width

HERE = Path(__file__).resolve().parent


def build(configs):
    """The quantized model and its moving average, at the widest bit widths."""
    set_global_seed(configs.seed)
    model = create_model(configs.arch, configs.dataloader.num_classes)
    model = replace_module_by_names(model, find_modules_to_quantize(model, configs))
    model.eval()
    if configs.distributed:
        model = DistributedDataParallel(model, find_unused_parameters=True)
    with torch.no_grad():
        model(torch.randn(1, 1, 8, 8))
    widest = max(configs.target_bits)
    switch_bit_width(model, quan_scheduler=configs.quan, wbit=widest, abits=widest)
    return model, ModelEma(model, decay=configs.ema_decay)


def fit(configs, path, train_loader, model, target_model):
    """Train and save a checkpoint at ``path``."""
    steps = [p for n, p in model.named_parameters() if n.endswith("_fn.s")]
    ids = {id(p) for p in steps}
    others = [p for p in model.parameters() if id(p) not in ids]
    optimizer = torch.optim.SGD(
        others, configs.lr, configs.momentum, weight_decay=configs.weight_decay, nesterov=True
    )
    optimizer_q = torch.optim.Adam(steps, configs.q_lr)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, configs.lr, total_steps=configs.epochs + 1, pct_start=0.2
    )
    criterion = torch.nn.CrossEntropyLoss()
    for epoch in range(configs.epochs):
        train_loader.sampler.set_epoch(configs.seed * configs.epochs + epoch)
        top1, _, loss = train(
            train_loader,
            model,
            criterion,
            optimizer,
            epoch,
            [],
            configs,
            model_ema=target_model,
            nr_random_sample=configs.num_random_path,
            optimizer_q=optimizer_q,
        )
        scheduler.step()
        log(f"Epoch {epoch + 1}/{configs.epochs}: loss {loss:.4f}, training top-1 {top1:.2f} %")
    if is_master():  # once, at the end: an interrupted training must not pass for a finished one
        save_checkpoint(path, configs.epochs - 1, model, target_model)


def main():
    configs = get_config(default_file=HERE / "template.yaml")
    init_dist(configs)
    model, target_model = build(configs)
    train_loader, test_loader = init_dataloader(configs.dataloader)
    trained = HERE / configs.output_dir / f"{configs.name}_checkpoint.pth.tar"

    if not configs.eval:
        fit(configs, trained, train_loader, model, target_model)
        return

    checkpoint = HERE / configs.resume.path
    if not checkpoint.exists():
        log(f"No checkpoint yet: training one first ({configs.epochs} epochs, under a minute)")
        fit(configs, checkpoint, train_loader, model, target_model)
        model, target_model = build(configs)
    if configs.distributed:
        dist.barrier()
    load_checkpoint(checkpoint, model, target_model)
    ret = validate(
        test_loader,
        target_model.ema,
        torch.nn.CrossEntropyLoss(),
        -1,
        [],
        configs,
        train_loader=train_loader,
        eval_predefined_arch=BITS[configs.arch],
    )
    log(ret)


if __name__ == "__main__":
    main()
