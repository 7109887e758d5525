"""Which image comes when: a permutation per (seed, epoch), dealt out to processes, and one seed per image."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from qaclims_path.engine.distributed import Processes
from qaclims_path.engine.seeds import kept_random, seed_all
from qaclims_path.errors import QaclimsError, UsageError

Key = tuple[int, int]  # epoch, index
Collate = Callable[[list[Any]], Mapping[str, Any]]
MAX_WORKERS = 8
DATA, ORDER = 1, 2  # streams of random numbers that should have nothing to do with each other


class Source(Protocol):
    """A map-style data set. One with `set_epoch` is told which epoch it is; `len` may not change."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...  # noqa: ANN401 - whatever the collate function takes


class SeededDataset(Dataset[Any]):
    """A data set asked by (epoch, index): the global random states an item sees depend on those and the seed alone."""

    def __init__(self, source: Source, seed: int) -> None:
        self.source = source
        self.seed = seed
        self._epoch: int | None = None

    def __getitem__(self, key: Key) -> Any:  # noqa: ANN401
        epoch, index = key
        if epoch != self._epoch and hasattr(self.source, "set_epoch"):  # here, because workers have their own copy
            self.source.set_epoch(epoch)
        self._epoch = epoch
        with kept_random():
            seed_all(self.seed, DATA, epoch, index)
            return self.source[index]


class BatchPlan(Sampler[list[Key]]):
    """The pieces of batches that one process loads, in order; the global batches are the same for any process count.

    Attributes:
        batch: Images of one optimiser step, all processes and pieces together.
        steps: Optimiser steps per epoch; images beyond the last full batch wait for another epoch's permutation.
        pieces: Into which a process cuts its share.
        share: Images of one piece.
    """

    def __init__(
        self, count: int, batch: int, *, seed: int = 0, ranks: int = 1, rank: int = 0, pieces: int = 1
    ) -> None:
        if batch % (ranks * pieces):
            raise UsageError(
                f"A batch of {batch} images cannot be shared by {ranks} process(es) in {pieces} piece(s). "
                f"Set batch to a multiple of {ranks * pieces}, or change --devices or accumulate."
            )
        if count < batch:
            raise UsageError(f"There are {count} images, fewer than the batch of {batch}. Set a smaller batch.")
        self.count, self.batch, self.seed = count, batch, seed
        self.ranks, self.rank, self.pieces = ranks, rank, pieces
        self.steps = count // batch
        self.share = batch // (ranks * pieces)
        self.at(0, 0)

    def at(self, epoch: int, step: int) -> "BatchPlan":
        """Go to a step of an epoch; the next iteration starts there and ends with the epoch."""
        self.epoch, self.start = epoch, step
        return self

    def __len__(self) -> int:
        return (self.steps - self.start) * self.pieces

    def __iter__(self) -> Iterator[list[Key]]:
        order = permutation(self.count, self.seed, self.epoch)
        own = self.share * self.pieces
        for step in range(self.start, self.steps):
            mine = order[step * self.batch + self.rank * own :][:own].tolist()
            for piece in range(self.pieces):
                yield [(self.epoch, index) for index in mine[piece * self.share : (piece + 1) * self.share]]


def permutation(count: int, seed: int, epoch: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Order of the images in an epoch."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(count)


@contextmanager
def load(source: Source, plan: BatchPlan, collate: Collate | None, processes: Processes) -> Iterator[DataLoader[Any]]:
    """Make the loader of pieces, which `plan.at` moves; its workers end with the context."""
    workers = processes.running.workers
    count = default_workers(processes.local) if workers == "auto" else workers
    loader = DataLoader(
        SeededDataset(source, plan.seed),
        batch_sampler=plan,
        collate_fn=collate or default_collate,
        num_workers=count,
        persistent_workers=count > 0,
        pin_memory=processes.device.type == "cuda",
        worker_init_fn=_deaf,
    )
    try:
        yield loader
    finally:
        _dismiss(loader)


def batches(loader: DataLoader[Any], pieces: int) -> Iterator[list[Mapping[str, Any]]]:
    """The pieces of one batch after the other; errors of workers come as they were raised there."""
    waiting: list[Mapping[str, Any]] = []
    try:
        for piece in loader:
            waiting.append(piece)
            if len(waiting) == pieces:
                yield waiting
                waiting = []
    except QaclimsError as error:
        raise plainly(error) from None


def first_piece(loader: DataLoader[Any]) -> Mapping[str, Any]:
    """The piece that comes next, loaded here and now, without moving anything."""
    keys = next(iter(cast("BatchPlan", loader.batch_sampler)))
    piece: Mapping[str, Any] = cast("Collate", loader.collate_fn)([loader.dataset[key] for key in keys])
    return piece


def default_workers(processes: int) -> int:
    """Workers of each of the training processes on this machine, which keep one core each for themselves."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, max(0, cores // max(processes, 1) - 1))


def plainly(error: QaclimsError) -> QaclimsError:
    """Take out the traceback that a worker wraps around an error, and leave its sentence."""
    text = str(error)
    if "Original Traceback" not in text:
        return error
    return type(error)(text.rstrip().rpartition(f"{type(error).__name__}: ")[2])


def names_of(pieces: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the images in some pieces of a batch."""
    return [str(name) for piece in pieces for name in piece.get("id", ())]


def _dismiss(loader: DataLoader[Any]) -> None:
    """End the workers of a loader: once they have what they are at, or by force.

    Left to itself, torch would send them a SIGTERM, which they do not hear, and wait for them for ever.
    """
    iterator, loader._iterator = loader._iterator, None
    workers = getattr(iterator, "_workers", ())
    if not workers:
        return
    iterator._shutdown_workers()  # type: ignore[union-attr]
    for worker in workers:
        if worker.is_alive():
            worker.kill()
            worker.join()


def _deaf(worker: int) -> None:  # noqa: ARG001 - torch passes it
    """Ctrl-C and SLURM's SIGTERM go to every process of the group; only the training itself should act on them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
