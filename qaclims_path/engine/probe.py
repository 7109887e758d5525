"""Which precision a training should run in, measured on its own first batch without leaving a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from qaclims_path.engine.guards import memory_watched
from qaclims_path.engine.precision import Name, Precision, chosen, fastest
from qaclims_path.engine.seeds import kept_random
from qaclims_path.engine.stepper import Stepper
from qaclims_path.engine.task import Batch, Stateful, StepInfo


def choose_precision(stepper: Stepper, piece: Batch) -> tuple[Name, str]:
    """Time forward and backward of one piece in fp32 and bf16; every process gets the same answer.

    Returns:
        The name of the faster one, and a sentence with both times.
    """
    device = stepper.processes.device
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "fp32", "precision auto: fp32 (this GPU has no bf16)"
    middle = StepInfo(stepper.steps // 2, stepper.steps, 0, stepper.counts([piece]))

    def attempt(precision: Precision) -> None:
        stepper.precision = precision
        stepper.piece(piece, middle, share=1.0)
        stepper.optimizer.zero_grad(set_to_none=True)

    before = stepper.precision
    with _untouched(stepper), memory_watched(stepper.advice):
        seconds = fastest(attempt, device)
    stepper.precision = before
    shared = stepper.processes.sum(torch.tensor(list(seconds.values()), device=device)) / stepper.processes.size
    return chosen(dict(zip(seconds, shared.tolist(), strict=True)))


@contextmanager
def _untouched(stepper: Stepper) -> Iterator[None]:
    """Put everything back that a forward pass changes: statistics, the task's memory, random states."""
    task = stepper.task
    buffers = [(buffer, buffer.detach().clone()) for buffer in task.network.buffers()]
    memory = (
        {name: value.detach().clone() for name, value in task.state_dict().items()}
        if isinstance(task, Stateful)
        else {}
    )
    with kept_random():
        yield
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
    if isinstance(task, Stateful):
        task.load_state_dict(memory)
