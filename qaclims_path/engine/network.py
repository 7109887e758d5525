"""Prepare a network for training: device, memory layout, synchronised or fixed batch norm."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from qaclims_path.engine.batchnorm import synchronise
from qaclims_path.engine.distributed import Processes
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.engine.task import Compiled, Task

FOLLOWING = "train", "moving"  # batch norms whose statistics follow the images


def prepare(task: Task, processes: Processes, options: TrainOptions) -> None:
    """Move a task's network to its device, in place, and give every process the leader's weights."""
    network = task.network
    network.to(processes.device)
    network.to(memory_format=torch.channels_last)
    if processes.size > 1 and options.batchnorm in FOLLOWING:
        synchronise(network, processes)
    processes.broadcast(network.state_dict().values())
    if processes.running.compile:
        network.compile()
        if isinstance(task, Compiled):
            task.compile()


def training_mode(network: nn.Module, options: TrainOptions) -> None:
    """Put a network into training mode; batch norms whose statistics do not change stay in evaluation mode.

    A network may keep some of its parts in evaluation mode in its own `train()`: they stay as it leaves them.
    """
    network.train()
    for module in batch_norms(network):
        if options.batchnorm not in FOLLOWING:
            module.eval()
        if options.batchnorm in ("moving", "frozen"):
            module.requires_grad_(requires_grad=False)


def batch_norms(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the batch norms of a network."""
    return (module for module in network.modules() if isinstance(module, _BatchNorm))


@runtime_checkable
class Movable(Protocol):
    """A part of a batch that moves to a device as a tensor does; with `pin_memory()`, the loader pins it."""

    def to(self, device: torch.device, *, non_blocking: bool = False) -> object:
        """Copy to a device."""
        ...


def to_device(value: object, processes: Processes) -> object:
    """Move a part of a batch to the device; images (floating point, 4 dimensions) become channels-last."""
    if not isinstance(value, Tensor):
        return value.to(processes.device, non_blocking=True) if isinstance(value, Movable) else value
    is_images = value.ndim == 4 and value.is_floating_point()
    layout = torch.channels_last if is_images else torch.preserve_format
    return value.to(processes.device, non_blocking=True, memory_format=layout)
