"""Processes that load data: their shared memory, and sentences for those that the system ends."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from qaclims_path.engine.task import Batch
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.shared_memory import Traffic, find_shortage, free_bytes

AGAIN = "The same command continues after the last checkpoint."
FULL = "unable to allocate shared memory", "unable to write to file </torch", "out of shared memory"


class WorkerLost(QaclimsError):
    """The system ended a process that loads data, or has no shared memory for it."""


@dataclass(frozen=True)
class InSharedMemory:
    """A collate function whose tensors are moved to shared memory at once, where a lack of it is an error.

    Later, torch would move them in a thread, lose a batch that does not fit, and let the training wait for ever.
    """

    collate: Callable[[list[Any]], Batch]

    def __call__(self, items: list[Any]) -> Batch:
        """Make a batch of items."""
        batch = self.collate(items)
        for tensor in _tensors(batch) if get_worker_info() is not None else ():
            tensor.share_memory_()  # type: ignore[no-untyped-call]
        return batch


def check_shared_memory(
    one: Callable[[], Batch], *, workers: int, images: int, ahead: int, held: int, trainings: int
) -> None:
    """Refuse a training whose batches do not fit into shared memory.

    Args:
        one: Makes a batch of one image, to measure it.
        workers: Processes that load data for one training process.
        images: Images of a batch.
        ahead: Batches that each worker prepares in advance.
        held: Batches that a training process holds: of the step that it runs, and of the next one.
        trainings: Training processes of this machine.
    """
    if not workers or free_bytes() is None:
        return
    size = images * sum(tensor.nbytes for tensor in _tensors(one()))
    shortage = find_shortage(Traffic(workers, size, ahead, held, trainings))
    if shortage is not None:
        problem, way_out = shortage
        raise UsageError(f"{problem}. {way_out[0].upper()}{way_out[1:]}.")


@contextmanager
def workers_watched(loader: DataLoader[Any]) -> Iterator[None]:
    """Turn the end of a worker, or full shared memory, into a `WorkerLost`."""
    try:
        yield
    except RuntimeError as error:
        sentence = _explain(str(error), loader)
        if not sentence:
            raise
        raise WorkerLost(f"{sentence} {AGAIN}") from error


def _explain(message: str, loader: DataLoader[Any]) -> str:
    """Describe why a worker was lost; empty for another error."""
    number = loader.num_workers
    fewer = f"Use fewer workers: --workers {number // 2} (now {number})"
    if any(words in message for words in FULL):
        return f"The shared memory of loaded batches is full. {fewer}, or start a container with a larger --shm-size."
    if "DataLoader worker" not in message:
        return ""
    ended = _signal_of(loader)
    if ended == signal.SIGKILL:
        return f"The system killed a process that loads data, as it does when memory runs out. {fewer}."
    if ended == signal.SIGBUS:
        return (
            "A process that loads data ended with a bus error, as it does when shared memory is full. "
            f"{fewer}, or start a container with a larger --shm-size."
        )
    cause = f" with {ended.name}" if ended else ""
    return f"A process that loads data ended{cause}. Use --workers 0 to load in the training's process and see why."


def _signal_of(loader: DataLoader[Any]) -> signal.Signals | None:
    """Return the signal that ended a worker of a loader."""
    workers = getattr(loader._iterator, "_workers", ())
    codes = [worker.exitcode for worker in workers if worker.exitcode is not None and worker.exitcode < 0]
    return signal.Signals(-codes[0]) if codes else None


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield the tensors in a batch: in mappings, sequences, and attributes of objects."""
    if isinstance(value, Tensor):
        yield value
        return
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    for part in parts or getattr(value, "__dict__", {}).values():
        yield from _tensors(part)
