"""Optimisers from options, and the learning rate of a step."""

import torch
from torch import nn

from qaclims_path.compute import schedules
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.engine.task import Task
from qaclims_path.errors import UsageError


def build_optimizer(task: Task, options: TrainOptions) -> torch.optim.Optimizer:
    """Build the optimiser over the task's groups; every group remembers its start value as `start_lr`."""
    groups = [dict(group) for group in task.parameter_groups(options.lr)]
    for group in groups:
        group["params"] = [parameter for parameter in group["params"] if parameter.requires_grad]
        group.setdefault("lr", options.lr)
        group["start_lr"] = group["lr"]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise UsageError("Nothing is to be trained: every parameter is frozen. Unfreeze some of the network.")
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=options.betas, weight_decay=options.weight_decay)
    return torch.optim.SGD(groups, momentum=options.momentum, weight_decay=options.weight_decay)


def factor(options: TrainOptions, step: int, steps: int) -> float:
    """Factor of the start values at a step of the whole training."""
    rise, step, steps = schedules.warmed(step, options.warmup, steps)
    if options.schedule == "constant":
        fall = 1.0
    elif options.schedule == "cosine":
        fall = schedules.cosine(step, steps)
    else:
        fall = schedules.poly(step, steps, options.power)
    return rise * (options.floor + (1 - options.floor) * fall)


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> float:
    """Set every group's learning rate to a share of its start value; returns that of the first."""
    for group in optimizer.param_groups:
        group["lr"] = group["start_lr"] * share
    return float(optimizer.param_groups[0]["lr"])


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """All parameters in the order of the groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def clip(parameters: list[nn.Parameter], longest: float | None) -> torch.Tensor:
    """Norm of the gradient over all parameters, as it was before it was cut to `longest`."""
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if longest is not None:
        nn.utils.clip_grads_with_norm_(parameters, longest, norm)
    return norm
