"""The processes of a training: one, several on a machine, or on several machines, all through Lightning Fabric."""

import atexit
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, distributed

from qaclims_path.compute.devices import check_gpus, check_precision
from qaclims_path.engine.settings import RunSettings
from qaclims_path.errors import QaclimsError, UsageError

T = TypeVar("T")
# Longest wait for work that one process does alone, such as reading all masks of a large data set. The connections of
# this group break when a process dies, so a long limit hides no death. Tensors of a step keep the short limit of torch.
PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Processes:
    """The processes of a training, seen from one of them; the leader is the process of rank 0.

    Attributes:
        fabric: Lightning's handle.
        running: Settings of the run.
        local: Number of processes on this machine.
        talk: Group for everything on the CPU: objects, counts, waiting for the leader. None for one process.
    """

    fabric: Fabric
    running: RunSettings
    local: int = 1
    talk: distributed.ProcessGroup | None = None

    @property
    def rank(self) -> int:
        """Rank of this process, from 0."""
        return self.fabric.global_rank

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.fabric.world_size

    @property
    def is_leader(self) -> bool:
        """Whether this process is the leader, which writes files and prints."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return self.fabric.device

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place; a tensor on the CPU without waiting for a GPU."""
        if self.size > 1:
            distributed.all_reduce(values, group=self.talk if values.device.type == "cpu" else None)
        return values

    def from_leader(self, value: Any) -> Any:  # noqa: ANN401 - anything that can be pickled
        """Return the leader's value on every process."""
        if self.size == 1:
            return value
        held = [value]
        distributed.broadcast_object_list(held, 0, group=self.talk)
        return held[0]

    def gather(self, value: T) -> list[T]:
        """Return values of all processes, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        distributed.all_gather_object(values, value, group=self.talk)
        return cast("list[T]", values)

    def on_leader(self, work: Callable[[], T]) -> T:
        """Call a function on the leader alone; every process returns its value or raises its error.

        Not every error can be sent to other processes, so they raise a `QaclimsError` with a sentence in place of a
        foreign one. Without it they would wait for ever.
        """
        value, error = _attempt(work) if self.is_leader else (None, None)
        value, sent = self.from_leader((value, self._sendable(error)))
        error = error or sent
        if error is not None:
            raise error
        return cast("T", value)

    def on_all(self, work: Callable[[], T]) -> list[T]:
        """Call a function on every process; each returns all values in order of rank, or raises the first error."""
        value, error = _attempt(work)
        results = self.gather((value, self._sendable(error)))
        error = error or next((sent for _, sent in results if sent is not None), None)
        if error is not None:
            raise error
        return [cast("T", each) for each, _ in results]

    def _sendable(self, error: Exception | None) -> QaclimsError | None:
        """Error that the other processes raise."""
        if error is None or isinstance(error, QaclimsError):
            return error
        return QaclimsError(
            f"Process {self.rank} was stopped by an error: {type(error).__name__}: {error}. Look for it among the "
            f"messages of process {self.rank}."
        )

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors, such as initial weights, with those of the leader."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.data, 0)


def launch(running: RunSettings = RunSettings()) -> Processes:  # noqa: B008 - frozen
    """Start the processes of a training, or join those that torchrun or SLURM have started.

    Call it first: without such a launcher, the other processes run the same command from its start, so nothing may be
    written before.

    Examples:
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
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        if accelerator == "cuda":
            check_gpus(local)
        raise UsageError(
            f"{devices} device(s) of kind {accelerator} on {nodes} node(s) cannot be used: {error} "
            "Check --devices and --nodes against `qaclims doctor`, or leave them out."
        ) from error
    check_precision(running.precision, fabric.device)
    atexit.register(_leave)
    if fabric.world_size == 1:
        return Processes(fabric, running, local)
    talk = distributed.new_group(backend="gloo", timeout=PATIENCE)
    return Processes(fabric, running, local, cast("distributed.ProcessGroup", talk))


def _attempt(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Call a function; returns its value, or its error."""
    try:
        return work(), None
    except Exception as error:
        return None, error


def _leave() -> None:
    """End the threads of Gloo before Python exits, or they may abort the process; Lightning only ends NCCL's."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _accelerator() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "cpu"


def _started_by_launcher() -> dict[str, int]:
    """Devices per node and number of nodes if torchrun or SLURM's srun started the processes, else nothing."""
    if TorchElasticEnvironment.detect():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return {"devices": local, "nodes": int(os.environ["WORLD_SIZE"]) // local}
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return {"devices": int(os.environ["SLURM_NTASKS"]) // nodes, "nodes": nodes}
    return {}
