"""Exact gradients of a sum over many pairs in the memory of a few: one chunk at a time, through detached tensors."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

Term = Callable[..., Mapping[str, Tensor]]


def in_chunks(term: Term, inputs: Sequence[Tensor], chunks: Sequence[Any], *, scale: float = 1.0) -> dict[str, Tensor]:
    """Return the sum of a term over chunks of pairs; only one chunk's graph is alive at a time.

    Each chunk is computed on detached inputs and differentiated at once; the sum of these gradients enters the backward
    pass of the network that made the inputs, which runs once. `term` of all pairs must be the sum of `term` over the
    chunks, so divide by totals and not by the size of a chunk. Gradients reach only `inputs`.

    Args:
        term: Called with the inputs and a chunk; returns named tensors, of which the scalar `loss` is differentiated.
        inputs: Tensors that gradients should reach, such as maps B C h w.
        chunks: At least one, of any type, such as slices of the pairs; their size decides the memory.
        scale: Loss scale of fp16 (`StepInfo.scale`), which keeps small gradients of a chunk from becoming zero.

    Returns:
        Sums over all chunks by name; only `loss` carries a gradient.

    Examples:
        >>> x = torch.ones(4, requires_grad=True)
        >>> halves = slice(0, 2), slice(2, 4)
        >>> in_chunks(lambda x, rows: {"loss": (x[rows] ** 2).sum()}, [x], halves)["loss"].backward()
        >>> x.grad
        tensor([2., 2., 2., 2.])
    """
    learning = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    if not learning or len(chunks) < 2:
        return _summed([_quiet(term(*inputs, chunk)) for chunk in chunks])
    leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in inputs]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    gradients = [torch.zeros_like(leaf) for leaf in wanted]
    parts = []
    for chunk in chunks:
        part = term(*leaves, chunk)
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


def balanced(count: int, size: int, multiple: int = 1) -> list[int]:
    """Split a number of pairs into the fewest chunks of nearly equal sizes, with few different ones.

    Args:
        count: Number of pairs.
        size: Most pairs of a chunk.
        multiple: All sizes but the last are multiples of it, if `size` is at least as large.

    Examples:
        >>> balanced(7, 6), balanced(65, 64, 8)
        ([4, 3], [40, 25])
    """
    units = math.ceil(count / multiple)
    chunks = math.ceil(units / max(size // multiple, 1))
    ends = [0, *(min(math.ceil(units * number / chunks) * multiple, count) for number in range(1, chunks + 1))]
    return [end - start for start, end in pairwise(ends)]


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
