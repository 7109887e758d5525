"""One optimiser step: forward and backward over the micro-batches of a batch, then the update."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qaclims_path.engine.distributed import Processes
from qaclims_path.engine.network import to_device
from qaclims_path.engine.optim import clip, parameters_of, rate_factor, set_rates
from qaclims_path.engine.precision import Precision
from qaclims_path.engine.seeds import seed_all
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.engine.task import Batch, Counted, StepInfo, Task
from qaclims_path.errors import QaclimsError

STEP = 3  # key of a stream of random numbers, besides those of `engine.sampling`


@dataclass(frozen=True)
class StepResult:
    """Numbers of one step.

    Attributes:
        loss: Mean loss of the whole batch.
        norm: Norm of the whole gradient before clipping.
        values: Mean of every number that the task returned, over this process's micro-batches.
    """

    loss: float
    norm: float
    values: dict[str, float]


@dataclass
class Stepper:
    """Runs optimiser steps.

    Attributes:
        task: The task that is trained.
        optimizer: Optimiser of its parameters.
        precision: Numeric precision of the forward pass.
        options: Options of the training.
        processes: All processes of the training.
        steps: Optimiser steps of the whole training.
    """

    task: Task
    optimizer: torch.optim.Optimizer
    precision: Precision
    options: TrainOptions
    processes: Processes
    steps: int

    @property
    def advice(self) -> str:
        """Advice for a lack of memory, the task's own first."""
        own = getattr(self.task, "memory_advice", "")
        general = f"Raise accumulate (now {self.options.accumulate}) or lower batch (now {self.options.batch})"
        precision = ", or use --precision bf16." if self.precision.name == "fp32" else "."
        return f"{own} {general}{precision}".strip()

    def backward(self, micro_batches: Sequence[Batch], step: int, epoch: int) -> StepResult:
        """Compute the clipped gradient of a batch in the parameters; `step` and `epoch` count those done."""
        self.optimizer.zero_grad(set_to_none=True)
        info = StepInfo(step, self.steps, epoch, self.counts(micro_batches), self.precision.scale)
        losses = []
        for number, micro_batch in enumerate(micro_batches):
            seed_all(self.options.seed, STEP, step, number, self.processes.rank)
            losses.append(self.backward_one(micro_batch, info, share=1 / len(micro_batches)))
        parameters = parameters_of(self.optimizer)
        self.processes.average_gradients(parameters)
        if any(parameter.grad is not None for parameter in parameters):
            self.precision.scaler.unscale_(self.optimizer)
        norm = clip(parameters, self.options.clip)
        return self._result(losses, norm)

    def backward_one(self, micro_batch: Batch, info: StepInfo, *, share: float) -> Mapping[str, Tensor]:
        """Add `share` times the gradient of one micro-batch; returns its losses."""
        batch = {name: to_device(value, self.processes) for name, value in micro_batch.items()}
        with self.precision.autocast():
            losses = self.task.step(batch, info)
        if "loss" not in losses:
            raise QaclimsError(f"{type(self.task).__name__}.step returned {sorted(losses)}, but no 'loss'.")
        if losses["loss"].requires_grad:
            self.precision.scaler.scale(losses["loss"] * share).backward()  # type: ignore[no-untyped-call]
        return {name: value.detach() for name, value in losses.items()}

    def update(self, step: int) -> float:
        """Update the parameters and return the learning rate; a batch without any gradient changes nothing."""
        rate = set_rates(self.optimizer, rate_factor(self.options, step, self.steps))
        if any(parameter.grad is not None for parameter in parameters_of(self.optimizer)):
            self.precision.scaler.step(self.optimizer)
            self.precision.scaler.update()
        return rate

    def counts(self, micro_batches: Sequence[Batch]) -> dict[str, float]:
        """Return the task's counts, as means over the micro-batches of all processes."""
        if not isinstance(self.task, Counted):
            return {}
        counts: dict[str, float] = {}
        for micro_batch in micro_batches:
            for name, count in self.task.counts(micro_batch).items():
                counts[name] = counts.get(name, 0.0) + count
        if self.processes.size > 1:
            names = sorted(counts)
            sums = self.processes.sum(torch.tensor([counts[name] for name in names], device=self.processes.device))
            counts = dict(zip(names, sums.tolist(), strict=True))
        return {name: count / (len(micro_batches) * self.processes.size) for name, count in counts.items()}

    def _result(self, losses: Sequence[Mapping[str, Tensor]], norm: Tensor) -> StepResult:
        """Copy all numbers to the CPU together, so that a step waits for the GPU only once."""
        named = [(name, value) for each in losses for name, value in each.items()]
        loss = torch.stack([each["loss"].float() for each in losses]).mean()
        mean = self.processes.sum(loss.clone()) / self.processes.size
        flat: list[Any] = torch.stack([mean, norm.to(mean), *(value.float() for _, value in named)]).tolist()
        values: dict[str, list[float]] = {}
        for (name, _), number in zip(named, flat[2:], strict=True):
            values.setdefault(name, []).append(number)
        return StepResult(flat[0], flat[1], {name: sum(each) / len(each) for name, each in values.items()})
