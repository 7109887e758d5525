"""Reductions over ragged lists: the values of all owners in one vector, and who owns which.

Everything is computed in float32 (float64 stays) and in the order of the values: bf16 features lose nothing here.
"""

import torch
from torch import Tensor


def owners(offsets: Tensor, total: int) -> Tensor:
    """Who owns each value of a CSR list.

    Args:
        offsets: P+1, ascending from 0 to `total`.
        total: Number of values; given, because asking a GPU for it would wait for the GPU.

    Example:
        >>> owners(torch.tensor([0, 2, 2, 3]), 3)
        tensor([0, 0, 2])
    """
    each = torch.arange(len(offsets) - 1, device=offsets.device)
    return each.repeat_interleave(offsets.diff(), output_size=total)


def precise(values: Tensor) -> Tensor:
    """Half precision to float32; float64 stays as it is."""
    return values if values.dtype == torch.float64 else values.float()


def counts(owner: Tensor, size: int) -> Tensor:
    """How many values each of `size` owners has, as float32."""
    return torch.zeros(size, device=owner.device).index_add(0, owner, torch.ones(len(owner), device=owner.device))


def segment_sum(values: Tensor, owner: Tensor, size: int) -> Tensor:
    """Sum per owner, zero where an owner has nothing.

    Example:
        >>> segment_sum(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0, 0, 2]), 3)
        tensor([3., 0., 5.])
    """
    values = precise(values)
    return values.new_zeros((size, *values.shape[1:])).index_add(0, owner, values)


def segment_mean(values: Tensor, owner: Tensor, size: int) -> Tensor:
    """Mean per owner, zero where an owner has nothing."""
    return segment_sum(values, owner, size) / _beside(counts(owner, size).clamp(min=1), values)


def segment_logsumexp(values: Tensor, owner: Tensor, size: int) -> Tensor:
    """log(sum(exp(values))) per owner, minus infinity (with no gradient) where an owner has nothing.

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
    """Mean of each owner's values, soft towards the largest: the plain mean at sharpness 0, the largest at infinity.

    It is `log(mean(exp(sharpness * values))) / sharpness`, so every value counts with the weight that a softmax would
    give it: a region that looks like one of several texts need not look like the others too.
    """
    if sharpness == 0:
        return segment_mean(values, owner, size)
    total = segment_logsumexp(values * sharpness, owner, size)
    number = _beside(counts(owner, size), values)
    return torch.where(number > 0, total - number.clamp(min=1).log(), 0) / sharpness


def _beside(per_owner: Tensor, values: Tensor) -> Tensor:
    """A vector with as many axes as the values, for broadcasting."""
    return per_owner.view(-1, *[1] * (values.dim() - 1))
