"""Gradients of several processes, averaged in buckets while the backward pass still computes the rest.

Why not torch's `DistributedDataParallel`: it was tried with two processes, and the backward pass of one waits for the
other where the batch of the other gives no loss. It also has to wrap the forward pass, which here belongs to the task.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, distributed, nn

from qaclims_path.engine.distributed import Processes

BUCKET = 25 * 2**20  # bytes, as in DistributedDataParallel


class GradientAverage:
    """Averages the gradients of one step after the other over all processes.

    A bucket is sent when the last gradient in it is there. Every process sends the buckets in the same order, from the
    last parameters to the first, as the backward pass reaches them. A gradient becomes a view into its bucket.

    Args:
        parameters: All trained parameters, the same on every process.
        processes: All processes of the training.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], processes: Processes) -> None:
        self.parameters, self._processes = list(parameters), processes
        self._buckets = _buckets(self.parameters[::-1]) if processes.size > 1 else []
        self._open = False
        self._clear()
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(partial(self._arrived, number))  # type: ignore[no-untyped-call]

    @contextmanager
    def sent_when_full(self) -> Iterator[None]:
        """Send full buckets during the block, which is the last backward pass of a step."""
        self._open = True
        try:
            yield
        finally:
            self._open = False

    def finish(self) -> Tensor:
        """Send the other buckets and wait for all of them, on the device.

        Gradients are means now, and zero where a process has none. Returns the number of processes with a gradient of
        each parameter, which are still to be summed: see `drop_unused`.
        """
        for bucket in self._buckets[len(self._sent) :]:
            self._send(bucket)
        for flat, work in self._sent:
            work.wait()
            flat.div_(self._processes.size)
        held = torch.tensor([float(id(parameter) in self._held) for parameter in self.parameters])
        self._clear()
        return held

    def drop_unused(self, holders: Sequence[float]) -> None:
        """Remove gradients of parameters that no process has a gradient of."""
        for parameter, number in zip(self.parameters, holders, strict=True):
            if not number:
                parameter.grad = None

    def _arrived(self, number: int, parameter: Tensor) -> None:  # noqa: ARG002 - the signature of a hook
        """Count a gradient, and send the buckets that are full and next in order."""
        if not self._open:
            return
        self._missing[number] -= 1
        while len(self._sent) < len(self._buckets) and self._missing[len(self._sent)] == 0:
            self._send(self._buckets[len(self._sent)])

    @torch.no_grad()
    def _send(self, bucket: Sequence[nn.Parameter]) -> None:
        count = sum(parameter.numel() for parameter in bucket)
        flat = torch.zeros(count, dtype=bucket[0].dtype, device=bucket[0].device)
        parts = torch.split(flat, [parameter.numel() for parameter in bucket])
        views = [_like(parameter, part) for parameter, part in zip(bucket, parts, strict=True)]
        held = [(view, each.grad) for view, each in zip(views, bucket, strict=True) if each.grad is not None]
        if held:
            torch._foreach_copy_([view for view, _ in held], [gradient for _, gradient in held])
        self._held.update(id(parameter) for parameter in bucket if parameter.grad is not None)
        for parameter, view in zip(bucket, views, strict=True):
            parameter.grad = view
        self._sent.append((flat, distributed.all_reduce(flat, async_op=True)))

    def _clear(self) -> None:
        self._sent: list[tuple[Tensor, distributed.Work]] = []
        self._held: set[int] = set()
        self._missing = [len(bucket) for bucket in self._buckets]


def _like(parameter: nn.Parameter, flat: Tensor) -> Tensor:
    """View flat memory in the shape and the memory order of a parameter, which optimisers are fast for."""
    return flat.as_strided(parameter.shape, torch.empty_like(parameter, device="meta").stride())


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Group parameters of one type, in order, until a group has `BUCKET` bytes."""
    buckets: list[list[nn.Parameter]] = []
    filled = 0
    for parameter in parameters:
        if not buckets or filled >= BUCKET or buckets[-1][0].dtype != parameter.dtype:
            buckets.append([])
            filled = 0
        buckets[-1].append(parameter)
        filled += parameter.numel() * parameter.element_size()
    return buckets
