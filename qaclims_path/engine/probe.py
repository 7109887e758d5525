"""Choice of precision by timing the first batch, without changing the training's state."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from qaclims_path.engine.guards import memory_watched
from qaclims_path.engine.precision import Precision, PrecisionName, faster_precision, time_precisions
from qaclims_path.engine.seeds import preserved_random_state
from qaclims_path.engine.stepper import Stepper
from qaclims_path.engine.task import Batch, Stateful, StepInfo


def choose_precision(stepper: Stepper, micro_batch: Batch) -> tuple[PrecisionName, str]:
    """Time forward and backward of a micro-batch in fp32 and bf16; all processes choose the same.

    Returns:
        Name of the faster precision, and a sentence with both times.
    """
    device = stepper.processes.device
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "fp32", "precision auto: fp32 (this GPU has no bf16)"
    middle = StepInfo(stepper.steps // 2, stepper.steps, 0, stepper.counts([micro_batch]))

    def attempt(precision: Precision) -> None:
        stepper.precision = precision
        stepper.backward_one(micro_batch, middle, share=1.0)
        stepper.optimizer.zero_grad(set_to_none=True)

    before = stepper.precision
    with _restored(stepper), memory_watched(stepper.advice):
        seconds = time_precisions(attempt, device)
    stepper.precision = before
    means = stepper.processes.sum(torch.tensor(list(seconds.values()), device=device)) / stepper.processes.size
    return faster_precision(dict(zip(seconds, means.tolist(), strict=True)))


@contextmanager
def _restored(stepper: Stepper) -> Iterator[None]:
    """Restore the state that a forward pass changes: buffers (batch norm), the task's state, random states."""
    task = stepper.task
    buffers = [(buffer, buffer.detach().clone()) for buffer in task.network.buffers()]
    state = (
        {name: value.detach().clone() for name, value in task.state_dict().items()}
        if isinstance(task, Stateful)
        else {}
    )
    with preserved_random_state():
        yield
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
    if isinstance(task, Stateful):
        task.load_state_dict(state)
