"""Batch norm over the images of all processes, on GPUs and on CPUs."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from qaclims_path.engine.distributed import Processes


def synchronise(network: nn.Module, processes: Processes) -> None:
    """Make the batch norms of a network use the images of all processes, in place; names of tensors stay."""
    if processes.device.type == "cuda":
        from timm.layers.norm_act import convert_sync_batchnorm  # also converts batch norms with an activation

        convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    elif processes.talk is not None:
        _convert(network, processes.talk)


class CpuSyncBatchNorm(_BatchNorm):
    """Batch norm over the values of all processes of a group, for CPUs, which torch's `SyncBatchNorm` refuses.

    Args:
        norm: The norm that it replaces, with its parameters and statistics.
        group: Processes that compute forward and backward passes together.
    """

    def __init__(self, norm: _BatchNorm, group: distributed.ProcessGroup) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.drop, self.act = (getattr(norm, part, nn.Identity()) for part in ("drop", "act"))  # of timm's norms
        self.group = group
        self.train(norm.training)

    def forward(self, values: Tensor) -> Tensor:
        """Norm N C or N C ..., by statistics of the batch of all processes in training."""
        normed = self._over_all(values) if self.training else self._by_running(values)
        out: Tensor = self.act(self.drop(normed))
        return out

    def _by_running(self, values: Tensor) -> Tensor:
        own = self.running_mean is None  # without statistics, those of this process's batch
        return F.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, own, 0.0, self.eps)

    def _over_all(self, values: Tensor) -> Tensor:
        x = values.float()
        rest, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
        count = torch.full((1,), float(x.numel() // x.shape[1]))
        sums = self._summed(torch.cat([x.sum(rest), count]))
        mean, total = sums[:-1] / sums[-1], sums[-1].detach()
        centred = x - mean.view(shape)
        variance = self._summed(centred.square().sum(rest)) / total
        self._follow(mean.detach(), variance.detach() * total / (total - 1))
        normed = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normed = normed * self.weight.view(shape) + self.bias.view(shape)
        return normed.to(values.dtype)

    def _summed(self, values: Tensor) -> Tensor:
        summed: Tensor = _Sum.apply(values, self.group)
        return summed

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance, rate)


class _Sum(torch.autograd.Function):
    """Sum over processes, of values and of gradients, because the loss of each process depends on all values."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: distributed.ProcessGroup) -> Tensor:  # noqa: ANN401
        """Return the sum, the same on every process."""
        ctx.group, summed = group, values.clone()
        distributed.all_reduce(summed, group=group)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        """Return the sum of the gradients."""
        summed = gradient.contiguous().clone()
        distributed.all_reduce(summed, group=ctx.group)
        return summed, None


def _convert(module: nn.Module, group: distributed.ProcessGroup) -> None:
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, CpuSyncBatchNorm(child, group))
        else:
            _convert(child, group)
