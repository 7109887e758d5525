"""Optimiser and learning rates from options."""

from collections.abc import Sequence

import torch
from torch import nn

from qaclims_path.compute import schedules
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.engine.task import Task
from qaclims_path.errors import UsageError


def build_optimizer(task: Task, options: TrainOptions) -> torch.optim.Optimizer:
    """Build the optimiser over the task's parameter groups; each group keeps its initial rate as `start_lr`."""
    groups = [dict(group) for group in task.parameter_groups(options.lr)]
    for group in groups:
        group["params"] = [parameter for parameter in group["params"] if parameter.requires_grad]
        group.setdefault("lr", options.lr)
        group["start_lr"] = group["lr"]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise UsageError("There is nothing to train: every parameter is frozen. Unfreeze a part of the network.")
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=options.betas, weight_decay=options.weight_decay)
    return torch.optim.SGD(groups, momentum=options.momentum, weight_decay=options.weight_decay)


def rate_factor(options: TrainOptions, step: int, steps: int) -> float:
    """Return the factor of the initial learning rates at step `step` of `steps`: warmup times schedule."""
    rise, step, steps = schedules.warmed(step, options.warmup, steps + options.beyond)
    step -= step % options.stair
    if options.schedule == "constant":
        fall = 1.0
    elif options.schedule == "cosine":
        fall = schedules.cosine(step, steps)
    else:
        fall = schedules.poly(step, steps, options.power)
    return rise * (options.floor + (1 - options.floor) * fall)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group's learning rate to its initial one times a factor; returns that of the first group."""
    for group in optimizer.param_groups:
        group["lr"] = group["start_lr"] * factor
    return float(optimizer.param_groups[0]["lr"])


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Return all parameters, in the order of the groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def unscale(parameters: Sequence[nn.Parameter], scale: float) -> None:
    """Divide all gradients by the scale of the loss."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if scale != 1 and gradients:
        torch._foreach_mul_(gradients, 1 / scale)


def clip(parameters: list[nn.Parameter], max_norm: float | None) -> torch.Tensor:
    """Scale the gradient of all parameters down to `max_norm`; returns its norm before."""
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if max_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm
