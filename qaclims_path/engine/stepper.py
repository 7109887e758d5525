"""One optimiser step: forward and backward over the micro-batches of a batch, then the update."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from qaclims_path.compute.devices import has_bf16
from qaclims_path.engine.distributed import Processes
from qaclims_path.engine.gradients import GradientAverage
from qaclims_path.engine.guards import StopRequest
from qaclims_path.engine.memory import fixed_bytes, memory_use, what_to_lower
from qaclims_path.engine.network import to_device
from qaclims_path.engine.optim import clip, parameters_of, rate_factor, set_rates, unscale
from qaclims_path.engine.precision import Precision
from qaclims_path.engine.seeds import seed_all
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.engine.sums import Numbers, mean_numbers
from qaclims_path.engine.task import Batch, Counted, StepInfo, Task
from qaclims_path.errors import QaclimsError

STEP = 3  # key of a stream of random numbers, besides those of `engine.sampling`


@dataclass(frozen=True)
class StepResult:
    """Numbers of one step.

    Attributes:
        loss: Mean loss of the whole batch.
        norm: Norm of the whole gradient before clipping.
        stop: Whether a process was asked to stop.
        numbers: What the task returned for each micro-batch of this process, on the device.
        values: Mean of every number over these micro-batches, if the step is logged.
    """

    loss: float
    norm: float
    stop: bool
    numbers: Numbers
    values: dict[str, float]

    def read(self) -> dict[str, float]:
        """Return the values, also of a step that is not logged."""
        if self.values:
            return self.values
        return mean_numbers(self.numbers, torch.stack(_flat(self.numbers)).tolist())


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
        micro_batch: Images of one micro-batch.
    """

    task: Task
    optimizer: torch.optim.Optimizer
    precision: Precision
    options: TrainOptions
    processes: Processes
    steps: int
    micro_batch: int

    def __post_init__(self) -> None:
        self._average = GradientAverage(parameters_of(self.optimizer), self.processes)

    def advise(self, message: str = "") -> str:
        """Advise what to lower for a lack of memory: on a GPU computed from its use, else by a half.

        Args:
            message: Message of torch, which says how much it asked for.
        """
        device, images = self.processes.device, self.options.batch // self.processes.size
        use = memory_use(device, fixed_bytes(self.optimizer), message)
        others = getattr(self.task, "memory_options", {})
        lower = what_to_lower(use.fitting_share() if use else 0.5, images, images // self.micro_batch, others)
        half = "fp16" if device.type == "cuda" and not has_bf16() else "bf16"
        precision = f", or use --precision {half}." if self.precision.name == "fp32" else "."
        own = getattr(self.task, "memory_advice", "")
        return " ".join(part for part in (str(use) if use else "", lower + precision, own) if part)

    def backward(
        self,
        micro_batches: Sequence[Batch],
        step: int,
        epoch: int,
        *,
        logged: bool = True,
        request: StopRequest = StopRequest(),  # noqa: B008 - never made
    ) -> StepResult:
        """Compute the clipped gradient of a batch in the parameters.

        Args:
            micro_batches: The share of this process.
            step: Optimiser steps done.
            epoch: Epochs done.
            logged: Copy the numbers of the task to the CPU, too.
            request: Tells whether this process was asked to stop.
        """
        self.optimizer.zero_grad(set_to_none=True)
        info = StepInfo(step, self.steps, epoch, self.counts(micro_batches), self.precision.scale)
        numbers = []
        for number, micro_batch in enumerate(micro_batches):
            seed_all(self.options.seed, STEP, step, number, self.processes.rank)
            is_last = number == len(micro_batches) - 1
            with self._average.sent_when_full() if is_last else nullcontext():
                numbers.append(self.backward_one(micro_batch, info, share=1 / len(micro_batches)))
        return self._result(numbers, logged=logged, stop=request.made)

    def backward_one(self, micro_batch: Batch, info: StepInfo, *, share: float) -> Mapping[str, Tensor]:
        """Add `share` times the gradient of one micro-batch; returns its losses."""
        batch = {name: to_device(value, self.processes) for name, value in micro_batch.items()}
        with self.precision.autocast():
            losses = self.task.step(batch, info)
        if "loss" not in losses:
            raise QaclimsError(f"{type(self.task).__name__}.step returned {sorted(losses)}, but no 'loss'.")
        if losses["loss"].requires_grad:
            (losses["loss"].float() * (share * self.precision.scale)).backward()  # type: ignore[no-untyped-call]
        return {name: value.detach() for name, value in losses.items()}

    def update(self, step: int, norm: float) -> float:
        """Update the parameters and return the learning rate.

        A batch without any gradient changes nothing, and neither does one whose gradient overflowed in fp16.
        """
        rate = set_rates(self.optimizer, rate_factor(self.options, step, self.steps))
        if any(parameter.grad is not None for parameter in parameters_of(self.optimizer)):
            overflow = not math.isfinite(norm)
            if not overflow:
                self.optimizer.step()
            self.precision.adapt(overflow=overflow)
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
            sums = self.processes.sum(torch.tensor([counts[name] for name in names], dtype=torch.float64))
            counts = dict(zip(names, sums.tolist(), strict=True))
        return {name: count / (len(micro_batches) * self.processes.size) for name, count in counts.items()}

    def _result(self, numbers: Numbers, *, logged: bool, stop: bool) -> StepResult:
        """Average gradients and loss over the processes, and copy all numbers to the CPU in one copy.

        Besides the gradients this is the only sum over the GPUs in a step, and the only time that a step waits for one.
        """
        loss = torch.stack([each["loss"].float() for each in numbers]).mean()[None]
        parameters, several = self._average.parameters, self.processes.size > 1
        if several:
            facts = torch.cat([torch.tensor([float(stop)]), self._average.finish()])
            if loss.is_cuda:
                facts = facts.pin_memory()
            loss = self.processes.sum(torch.cat([loss, facts.to(loss.device, non_blocking=True)]))
        unscale(parameters, self.precision.scale)
        norm = clip(parameters, self.options.clip)
        copied = [norm.to(loss)[None], loss, *([torch.stack(_flat(numbers))] if logged else [])]
        found_norm, found_loss, *rest = torch.cat(copied).tolist()
        if several:
            stop, used, rest = rest[0] > 0, rest[1 : 1 + len(parameters)], rest[1 + len(parameters) :]
            self._average.drop_unused(used)
        values = mean_numbers(numbers, rest) if logged else {}
        return StepResult(found_loss / self.processes.size, found_norm, stop, numbers, values)


def _flat(numbers: Numbers) -> list[Tensor]:
    """Return all numbers, one micro-batch after the other."""
    return [value.float() for each in numbers for value in each.values()]
