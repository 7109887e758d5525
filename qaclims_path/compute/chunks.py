"""Exact gradients of a sum over many pairs in the memory of a few: one chunk at a time, through detached tensors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Term = Callable[..., Mapping[str, Tensor]]


def in_chunks(term: Term, inputs: Sequence[Tensor], count: int, size: int, *, scale: float = 1.0) -> dict[str, Tensor]:
    """Return the sum a term over chunks of pairs; only one chunk's graph is alive at a time.

    Each chunk is computed on detached inputs and differentiated at once; the sum of these gradients enters the backward
    pass of the network that made the inputs, which runs once. `term` of all pairs must be the sum of `term` over the
    chunks, so divide by totals and not by the size of a chunk. Gradients reach only `inputs`.

    Args:
        term: Called with the inputs and a slice of pairs; returns named scalars, of which `loss` is differentiated.
        inputs: Tensors that gradients should reach, such as maps B C h w.
        count: Number of all pairs.
        size: Pairs per chunk; decides the memory.
        scale: Loss scale of fp16 (`StepInfo.scale`), which keeps small gradients of a chunk from becoming zero.

    Returns:
        Sums over all chunks by name; only `loss` carries a gradient.

    Examples:
        >>> x = torch.ones(4, requires_grad=True)
        >>> in_chunks(lambda x, rows: {"loss": (x[rows] ** 2).sum()}, [x], count=4, size=3)["loss"].backward()
        >>> x.grad
        tensor([2., 2., 2., 2.])
    """
    learning = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    slices = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    if not learning or len(slices) < 2:
        return _summed([_quiet(term(*inputs, rows)) for rows in slices or [slice(0, 0)]])
    leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in inputs]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    gradients = [torch.zeros_like(leaf) for leaf in wanted]
    parts = []
    for rows in slices:
        part = term(*leaves, rows)
        if part["loss"].requires_grad:
            found = torch.autograd.grad(part["loss"] * scale, wanted, allow_unused=True)
            for gradient, more in zip(gradients, found, strict=True):
                if more is not None:
                    gradient.add_(more, alpha=1 / scale)
        parts.append({name: value.detach() for name, value in part.items()})  # the chunk's graph ends here
    sums = _summed(parts)
    attached = [tensor for tensor in inputs if tensor.requires_grad]
    sums["loss"] = _Known.apply(sums["loss"], gradients, *attached)
    return sums


def _quiet(part: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value if name == "loss" else value.detach() for name, value in part.items()}


def _summed(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in parts]).sum(0) for name in parts[0]}


class _Known(torch.autograd.Function):
    """A value whose gradient was computed before."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor], *inputs: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return (None, None, *(gradient * outer for gradient in ctx.gradients))
