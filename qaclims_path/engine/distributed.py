"""The processes that train together: one, several on a machine, or several machines, all through Lightning Fabric."""

import atexit
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import Tensor, distributed, nn

from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import QaclimsError, UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """One process and its place among the others.

    Attributes:
        fabric: Lightning's handle.
        running: How the training runs.
        local: Processes on this machine.
    """

    fabric: Fabric
    running: RunSettings
    local: int = 1

    @property
    def rank(self) -> int:
        """Number of this process among all."""
        return self.fabric.global_rank

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.fabric.world_size

    @property
    def is_leader(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.fabric.device

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def from_leader(self, value: Any) -> Any:  # noqa: ANN401 - whatever the leader says
        """Take the leader's value."""
        return self.fabric.broadcast(value) if self.size > 1 else value

    def gather(self, value: T) -> list[T]:
        """Everybody's value, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        distributed.all_gather_object(values, value)
        return cast("list[T]", values)

    def on_leader(self, work: Callable[[], T]) -> T:
        """Let the leader do something for all; its value, or its error, is everybody's.

        An error that is none of ours stays with the leader, as not every one can be sent; the others get a sentence,
        for they would wait for ever if they were told nothing.
        """
        value: T | None = None
        error: Exception | None = None
        if self.is_leader:
            try:
                value = work()
            except Exception as found:
                error = found
        value, told = self.from_leader((value, _tellable(error)))
        wrong = error or told
        if wrong is not None:
            raise wrong
        return cast("T", value)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average gradients over all processes; a parameter without one anywhere stays without.

        One flat sum per step instead of hooks in the network: a task may call its network as often as it likes, and a
        process whose images have nothing to learn from takes part with zeros.
        """
        if self.size == 1:
            return
        has = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        flat = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten().float() for p in parameters]
        shared = self.sum(torch.cat([has, *flat]))
        somewhere, start = shared[: len(has)].tolist(), len(has)
        for parameter, holders in zip(parameters, somewhere, strict=True):
            part = shared[start : start + parameter.numel()].div_(self.size)
            start += parameter.numel()
            parameter.grad = part.view_as(parameter).to(parameter.dtype) if holders else None

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Take the leader's contents of some tensors, such as first weights."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.data, 0)

    @torch.no_grad()
    def broadcast_buffers(self, network: nn.Module) -> None:
        """Take the leader's buffers, such as statistics of batch norm, so that one checkpoint speaks for all."""
        buffers = list(network.buffers())
        if self.size == 1 or not buffers:
            return
        flat = torch.cat([buffer.flatten().double() for buffer in buffers])
        distributed.broadcast(flat, 0)
        parts = torch.split(flat, [buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))


def launch(running: RunSettings = RunSettings()) -> Processes:  # noqa: B008 - frozen
    """Start the processes of a training, or join those that torchrun or SLURM have started.

    To be called first, because without such a launcher the other processes run the same command from its start:
    before it, nothing may be written.

    Example:
        >>> launch(RunSettings(devices=1, accelerator="cpu")).size
        1
    """
    started = _started_by_launcher()
    accelerator = _accelerator() if running.accelerator == "auto" else running.accelerator
    devices: int | Literal["auto"] = running.devices
    if devices == "auto":
        devices = started.get("devices", "auto" if accelerator == "cuda" else 1)
    nodes: int = started.get("nodes", 1) if running.nodes == "auto" else running.nodes
    local = torch.cuda.device_count() if devices == "auto" else devices
    try:
        strategy = "ddp" if nodes * local > 1 else "auto"
        fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy)
        fabric.launch()
    except (ValueError, RuntimeError) as error:  # Lightning's MisconfigurationException is none of ours
        raise UsageError(
            f"{devices} device(s) of kind {accelerator} on {nodes} node(s) cannot be used: {error} "
            "Check --devices and --nodes against `qaclims doctor`, or leave them out."
        ) from error
    atexit.register(_leave)
    return Processes(fabric, running, local)


def _tellable(error: Exception | None) -> QaclimsError | None:
    """What processes are told that did not see an error."""
    if error is None or isinstance(error, QaclimsError):
        return error
    return QaclimsError(
        f"The leading process was stopped by an error: {type(error).__name__}: {error}. Look for it among the messages "
        "of process 0."
    )


def _leave() -> None:
    """End the threads of Gloo while Python is alive, or they may abort the process (Lightning only ends NCCL's)."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _accelerator() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "cpu"


def _started_by_launcher() -> dict[str, int]:
    """Devices per node and nodes, where torchrun or SLURM's srun have started the processes already."""
    if TorchElasticEnvironment.detect():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return {"devices": local, "nodes": int(os.environ["WORLD_SIZE"]) // local}
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return {"devices": int(os.environ["SLURM_NTASKS"]) // nodes, "nodes": nodes}
    return {}
