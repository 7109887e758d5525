"""One optimiser step: forward and backward over the pieces of a batch, then the update."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qaclims_path.engine.distributed import Processes
from qaclims_path.engine.network import to_device
from qaclims_path.engine.optim import clip, factor, parameters_of, set_rates
from qaclims_path.engine.precision import Precision
from qaclims_path.engine.seeds import seed_all
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.engine.task import Batch, Counted, StepInfo, Task
from qaclims_path.errors import QaclimsError

STEP = 3  # stream of random numbers, beside those of `engine.sampling`


@dataclass(frozen=True)
class Numbers:
    """What a step found.

    Attributes:
        loss: Over the whole batch.
        norm: Of the whole gradient before clipping.
        values: Everything the task named, over this process's pieces.
    """

    loss: float
    norm: float
    values: dict[str, float]


@dataclass
class Stepper:
    """Does optimiser steps.

    Attributes:
        task: What is trained.
        optimizer: Over its parameters.
        precision: Of the forward pass.
        options: Of the training.
        processes: The processes at work.
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
        """What to lower when memory is out, the task's own advice first."""
        own = getattr(self.task, "memory_advice", "")
        general = f"Raise accumulate (now {self.options.accumulate}) or lower batch (now {self.options.batch})"
        precision = ", or take --precision bf16." if self.precision.name == "fp32" else "."
        return f"{own} {general}{precision}".strip()

    def backward(self, pieces: Sequence[Batch], step: int, epoch: int) -> Numbers:
        """Leave the gradient of a batch, clipped, in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        info = StepInfo(step, self.steps, epoch, self.counts(pieces), self.precision.scale)
        found = []
        for number, piece in enumerate(pieces):
            seed_all(self.options.seed, STEP, step, number, self.processes.rank)
            found.append(self.piece(piece, info, share=1 / len(pieces)))
        parameters = parameters_of(self.optimizer)
        self.processes.average_gradients(parameters)
        if any(parameter.grad is not None for parameter in parameters):
            self.precision.scaler.unscale_(self.optimizer)
        norm = clip(parameters, self.options.clip)
        return self._numbers(found, norm)

    def piece(self, piece: Batch, info: StepInfo, *, share: float) -> Mapping[str, Tensor]:
        """Add a share of one piece's gradient."""
        batch = {name: to_device(value, self.processes) for name, value in piece.items()}
        with self.precision.cast():
            losses = self.task.step(batch, info)
        if "loss" not in losses:
            raise QaclimsError(f"{type(self.task).__name__}.step returned {sorted(losses)}, but no 'loss'.")
        if losses["loss"].requires_grad:
            self.precision.scaler.scale(losses["loss"] * share).backward()  # type: ignore[no-untyped-call]
        return {name: value.detach() for name, value in losses.items()}

    def update(self, step: int) -> float:
        """Move the parameters; returns the learning rate. A batch without anything to learn from moves nothing."""
        rate = set_rates(self.optimizer, factor(self.options, step, self.steps))
        if any(parameter.grad is not None for parameter in parameters_of(self.optimizer)):
            self.precision.scaler.step(self.optimizer)
            self.precision.scaler.update()
        return rate

    def counts(self, pieces: Sequence[Batch]) -> dict[str, float]:
        """What the task counts, as a mean over the pieces of all processes."""
        if not isinstance(self.task, Counted):
            return {}
        counts: dict[str, float] = {}
        for piece in pieces:
            for name, count in self.task.counts(piece).items():
                counts[name] = counts.get(name, 0.0) + count
        if self.processes.size > 1:
            names = sorted(counts)
            sums = self.processes.sum(torch.tensor([counts[name] for name in names], device=self.processes.device))
            counts = dict(zip(names, sums.tolist(), strict=True))
        return {name: count / (len(pieces) * self.processes.size) for name, count in counts.items()}

    def _numbers(self, found: Sequence[Mapping[str, Tensor]], norm: Tensor) -> Numbers:
        """Bring everything to the CPU at once: one wait per step."""
        named = [(name, value) for losses in found for name, value in losses.items()]
        loss = torch.stack([losses["loss"].float() for losses in found]).mean()
        shared = self.processes.sum(loss.clone()) / self.processes.size
        flat: list[Any] = torch.stack([shared, norm.to(shared), *(value.float() for _, value in named)]).tolist()
        values: dict[str, list[float]] = {}
        for (name, _), number in zip(named, flat[2:], strict=True):
            values.setdefault(name, []).append(number)
        return Numbers(flat[0], flat[1], {name: sum(each) / len(each) for name, each in values.items()})
