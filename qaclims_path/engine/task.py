"""What the loop asks of those who use it: a task to train, and callbacks at the end of an epoch."""

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
    """Where a training stands when a piece of a batch is looked at.

    Attributes:
        step: Optimiser steps done.
        steps: Optimiser steps of the whole training.
        epoch: Epochs done.
        counts: What `Task.counts` said, summed over the batch of all processes and divided by the number of its
            pieces. A sum over one piece divided by it makes the exact mean over the whole batch, however that is
            spread: the loop averages pieces and processes.
        scale: Loss scale of fp16, for those who run parts of the backward pass themselves (`compute.chunks`).
    """

    step: int
    steps: int
    epoch: int
    counts: Mapping[str, float] = field(default_factory=dict)
    scale: float = 1.0

    @property
    def progress(self) -> float:
        """Share of the training that is done, 0..1."""
        return self.step / max(self.steps, 1)


class Task(Protocol):
    """What is trained and how its loss is computed.

    Attributes:
        network: All that is trained. The loop moves it to the device and keeps it in training mode; a network that
            keeps parts frozen overrides `train`. What is frozen for good (a judge) is no part of it.

    A task may have more: `counts` (see `Counted`), `state_dict` and `load_state_dict` (see `Stateful`), and
    `memory_advice`, a sentence on what to lower when memory is out, such as "Lower pairs_per_chunk (now 32).".
    """

    network: nn.Module

    def parameter_groups(self, lr: float) -> Sequence[Mapping[str, Any]]:
        """Parameter groups as `torch.optim` takes them; `lr` and `weight_decay` may be left out."""
        ...

    def step(self, batch: Batch, info: StepInfo) -> Mapping[str, Tensor]:
        """Compute the named losses of one piece of a batch, which lies on the device.

        Returns:
            Scalars: `loss` is minimised, everything else is logged. Runs under autocast where precision asks for it.
            A piece without anything to learn from returns a loss that needs no gradient.
        """
        ...


@runtime_checkable
class Counted(Protocol):
    """A task whose losses are means over other things than images, such as (image, class) pairs."""

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """How many of each there are in a piece of a batch, which still lies on the CPU."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """A task with memory beyond its network, which becomes part of checkpoints."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Everything to be kept, as tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        ...


@dataclass(frozen=True)
class EpochEnd:
    """What a callback gets to see.

    Attributes:
        epoch: Epochs done, counting from 1.
        step: Optimiser steps done.
        network: In evaluation mode and without gradients; with the running mean of weights where there is one.
        means: Mean of every logged number over the epoch.
        processes: The processes at work; every one of them calls the callback.
        picture: Logs a picture, H W 3, under a name; only the leading process writes it.
    """

    epoch: int
    step: int
    network: nn.Module
    means: Mapping[str, float]
    processes: Processes
    picture: Picture


# Called by every process after an epoch; the numbers it returns (the leader's count) are logged and may be watched.
Callback = Callable[[EpochEnd], Mapping[str, float] | None]
