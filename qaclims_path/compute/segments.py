"""Reductions over ragged lists: the values of all owners in one vector, and the owner of each.

Sums are in float32 (float64 stays) and in the order of the values, so that bf16 features lose no precision.
"""

import torch
from torch import Tensor


def precise(values: Tensor) -> Tensor:
    """Convert half precision to float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()


def counts(owner: Tensor, size: int) -> Tensor:
    """Count the values of each of `size` owners, as float32."""
    return torch.zeros(size, device=owner.device).index_add(0, owner, torch.ones(len(owner), device=owner.device))


def segment_sum(values: Tensor, owner: Tensor, size: int) -> Tensor:
    """Return the sum per owner, zero for an owner without values.

    Examples:
        >>> segment_sum(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0, 0, 2]), 3)
        tensor([3., 0., 5.])
    """
    values = precise(values)
    return values.new_zeros((size, *values.shape[1:])).index_add(0, owner, values)


def segment_mean(values: Tensor, owner: Tensor, size: int) -> Tensor:
    """Return the mean per owner, zero for an owner without values."""
    return segment_sum(values, owner, size) / _beside(counts(owner, size).clamp(min=1), values)


def segment_logsumexp(values: Tensor, owner: Tensor, size: int) -> Tensor:
    """Return log(sum(exp(values))) per owner, minus infinity without gradient for an owner without values.

    Args:
        values: G, or G and further axes.
        owner: G, in 0..size-1.
        size: Number of owners.
    """
    values = precise(values)
    fixed = values.detach()
    index = _beside(owner, values).expand_as(values)
    peak = fixed.new_full((size, *values.shape[1:]), -torch.inf).scatter_reduce(0, index, fixed, "amax")
    peak = peak.nan_to_num(neginf=0)
    total = segment_sum((values - peak[owner]).exp(), owner, size)
    return torch.where(total > 0, total, 1).log() + torch.where(total > 0, peak, -torch.inf)


def segment_softmean(values: Tensor, owner: Tensor, size: int, sharpness: float) -> Tensor:
    """Return the soft maximum of each owner's values: the mean at sharpness 0, the largest at infinity.

    It is `log(mean(exp(sharpness * values))) / sharpness`; its gradient weights values by their softmax. So a region
    that matches one of several texts need not match the others.
    """
    if sharpness == 0:
        return segment_mean(values, owner, size)
    total = segment_logsumexp(values * sharpness, owner, size)
    number = _beside(counts(owner, size), values)
    return torch.where(number > 0, total - number.clamp(min=1).log(), 0) / sharpness


def _beside(per_owner: Tensor, values: Tensor) -> Tensor:
    """Add axes to a vector, as many as the values have, for broadcasting."""
    return per_owner.view(-1, *[1] * (values.dim() - 1))
