"""Interface of the training loop: a task to train, and callbacks at the end of an epoch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from qaclims_path.engine.distributed import Processes

Batch = Mapping[str, Any]
Picture = Callable[[str, NDArray[np.uint8]], None]


@dataclass(frozen=True)
class StepInfo:
    """Facts about the step of a micro-batch, for the task.

    Attributes:
        step: Optimiser steps done.
        steps: Optimiser steps of the whole training.
        epoch: Epochs done.
        counts: Numbers of `Counted.counts`, summed over the batch of all processes and divided by its number of
            micro-batches. The loop averages over micro-batches and processes, so a micro-batch's sum divided by such a
            count gives the exact mean over the whole batch.
        scale: Loss scale of fp16, for tasks that run parts of the backward pass themselves (`compute.chunks`).
    """

    step: int
    steps: int
    epoch: int
    counts: Mapping[str, float] = field(default_factory=dict)
    scale: float = 1.0

    @property
    def progress(self) -> float:
        """Share of the steps done, 0..1."""
        return self.step / max(self.steps, 1)


class Task(Protocol):
    """A network to train and its loss.

    Attributes:
        network: Holds all trained parameters. The loop moves it to the device and keeps it in training mode; a network
            with frozen parts overrides `train`. Models that are never trained (a judge) are not part of it.

    Optional members are `counts` (see `Counted`), `state_dict` and `load_state_dict` (see `Stateful`), `compile` (see
    `Compiled`), and for a lack of memory `memory_options`, options to lower and their values, such as
    {"pairs_per_chunk": 32}, and `memory_advice`, a sentence on others.
    """

    network: nn.Module

    def parameter_groups(self, lr: float) -> Sequence[Mapping[str, Any]]:
        """Parameter groups as `torch.optim` takes them; `lr` and `weight_decay` are optional."""
        ...

    def step(self, batch: Batch, info: StepInfo) -> Mapping[str, Tensor]:
        """Compute the losses of a micro-batch on the device, under autocast in bf16 and fp16.

        Returns:
            Scalars by name: `loss` is minimised, the others are logged. A loss without gradient trains nothing.
        """
        ...


@runtime_checkable
class Counted(Protocol):
    """A task whose losses are means over items other than images, such as (image, class) pairs."""

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """Return the number of each kind of item in a micro-batch, which is still on the CPU."""
        ...


@runtime_checkable
class Compiled(Protocol):
    """A task with models beside its network, such as a judge, that `torch.compile` makes faster."""

    def compile(self) -> None:
        """Compile these models in place; called once, if the run compiles its network."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """A task with state beyond its network, which checkpoints keep."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the state as tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the state from tensors."""
        ...


@dataclass(frozen=True)
class EpochEnd:
    """Facts about a finished epoch, for callbacks.

    Attributes:
        epoch: Epochs done, from 1.
        step: Optimiser steps done.
        network: Network in evaluation mode, without gradients, and with the averaged weights if `ema` is set.
        means: Mean of every logged number over the epoch.
        processes: All processes of the training; each of them calls the callback.
        picture: Logs an H W 3 picture under a name; only the leader writes it.
    """

    epoch: int
    step: int
    network: nn.Module
    means: Mapping[str, float]
    processes: Processes
    picture: Picture


# Every process calls it after an epoch. The numbers that it returns on the leader are logged and may be watched.
Callback = Callable[[EpochEnd], Mapping[str, float] | None]
