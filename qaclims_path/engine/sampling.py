"""Order of the images: one permutation per (seed, epoch), split over processes, and one random seed per image.

Images of a group, such as the tiles of a slide, can stand together in runs, for losses that look at them together.
"""

import signal
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from qaclims_path.engine.distributed import Processes
from qaclims_path.engine.seeds import preserved_random_state, seed_all
from qaclims_path.engine.workers import InSharedMemory, check_shared_memory, workers_watched
from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.cores import usable_cores

Key = tuple[int, int]  # epoch, index
Collate = Callable[[list[Any]], Mapping[str, Any]]
MAX_WORKERS = 16  # at 3 ms per image they load 5 000 images per second, more than a GPU trains on
PREFETCH = 2  # batches that each worker loads ahead
DATA, ORDER = 1, 2  # keys of independent streams of random numbers


class MapDataset(Protocol):
    """A map-style data set of constant length. If it has `set_epoch`, that is called with each epoch's number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...  # noqa: ANN401 - an item of the collate function


@dataclass(frozen=True)
class Groups:
    """Items that are loaded in runs.

    Attributes:
        of: Group of every item.
        together: Items of a run, all of one group; a group's last run is filled up with other items of the group.
    """

    of: tuple[Hashable, ...]
    together: int

    @property
    def members(self) -> list[list[int]]:
        """Items of every group."""
        found: dict[Hashable, list[int]] = {}
        for item, group in enumerate(self.of):
            found.setdefault(group, []).append(item)
        return list(found.values())

    @property
    def count(self) -> int:
        """Number of items in all runs, some of them twice."""
        return sum(-(-len(items) // self.together) * self.together for items in self.members)


class SeededDataset(Dataset[Any]):
    """A data set indexed by (epoch, index), which with the seed determine the random states that an item uses."""

    def __init__(self, source: MapDataset, seed: int) -> None:
        self.source = source
        self.seed = seed
        self._epoch: int | None = None

    def __getitem__(self, key: Key) -> Any:  # noqa: ANN401
        epoch, index = key
        if epoch != self._epoch and hasattr(self.source, "set_epoch"):  # each worker has a copy of its own
            self.source.set_epoch(epoch)
        self._epoch = epoch
        with preserved_random_state():
            seed_all(self.seed, DATA, epoch, index)
            return self.source[index]


class BatchPlan(Sampler[list[Key]]):
    """Yields the micro-batches that one process loads; the batch of a step is the same for any number of processes.

    Attributes:
        batch: Images of one optimiser step, over all processes and micro-batches.
        steps: Optimiser steps per epoch; images beyond the last full batch are left out of that epoch.
        accumulate: Micro-batches per process and step: the most that divide a process's share, up to the number given.
        micro_batch: Images of one micro-batch.
        groups: Images that stand in runs; None where their order is free.
    """

    def __init__(
        self,
        count: int,
        batch: int,
        *,
        seed: int = 0,
        ranks: int = 1,
        rank: int = 0,
        accumulate: int = 1,
        groups: Groups | None = None,
    ) -> None:
        if batch % ranks:
            raise UsageError(
                f"A batch of {batch} images cannot be shared equally by {ranks} processes. Set batch to a multiple of "
                f"{ranks}, or change --devices."
            )
        count = count if groups is None else groups.count
        if count < batch:
            raise UsageError(f"There are {count} images, fewer than the batch of {batch}. Set a smaller batch.")
        self.count, self.batch, self.seed, self.groups = count, batch, seed, groups
        self.ranks, self.rank = ranks, rank
        self.accumulate = micro_batches(batch // ranks, accumulate)
        self.steps = count // batch
        self.micro_batch = batch // (ranks * self.accumulate)
        if groups is not None and self.micro_batch % groups.together:
            raise UsageError(
                f"{groups.together} images of a group are loaded together, but {self.micro_batch} are trained on at "
                f"once. Set batch to a multiple of {ranks * self.accumulate * groups.together}, or accumulate to 1."
            )
        self.at(0, 0)

    def at(self, epoch: int, step: int, end: int | None = None) -> "BatchPlan":
        """Set where the next iteration starts, at a step of an epoch, and ends; None ends with that epoch."""
        self.epoch, self.start, self.end = epoch, step, self.steps if end is None else end
        return self

    def __len__(self) -> int:
        return (self.end - self.start) * self.accumulate

    def __iter__(self) -> Iterator[list[Key]]:
        order = permutation(self.count, self.seed, self.epoch, self.groups)
        share = self.batch // self.ranks
        for step in range(self.start, self.end):
            indices = order[step * self.batch + self.rank * share :][:share].tolist()
            for first in range(0, share, self.micro_batch):
                yield [(self.epoch, index) for index in indices[first : first + self.micro_batch]]


def permutation(
    count: int, seed: int, epoch: int, groups: Groups | None = None
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the order of the images in an epoch: any, or runs of `groups` in any order."""
    rng = np.random.default_rng([seed, ORDER, epoch])
    if groups is None:
        return rng.permutation(count)
    runs = [_filled(rng.permutation(items), groups.together) for items in groups.members]
    return rng.permutation(np.concatenate(runs)).ravel()


def _filled(items: "np.ndarray[Any, np.dtype[np.int64]]", together: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Cut items into runs (R `together`); the last one is filled up from the first items."""
    runs = -(-len(items) // together)
    return np.resize(items, (runs, together))


@contextmanager
def load(
    source: MapDataset, plan: BatchPlan, collate: Collate | None, processes: Processes
) -> Iterator[DataLoader[Any]]:
    """Make the loader of micro-batches in the order of a plan; its workers end with the context."""
    workers = processes.running.workers
    count = default_workers(processes.local) if workers == "auto" else workers
    together = collate or default_collate
    loader = DataLoader(
        SeededDataset(source, plan.seed),
        batch_sampler=plan,
        collate_fn=InSharedMemory(together) if count else together,
        num_workers=count,
        persistent_workers=count > 0,
        prefetch_factor=PREFETCH if count else None,
        pin_memory=processes.device.type == "cuda",
        worker_init_fn=_ignore_signals,
    )
    processes.on_all(lambda: _check_shared_memory(loader, plan, processes.local))
    try:
        with workers_watched(loader):
            yield loader
    finally:
        _end_workers(loader)


def _check_shared_memory(loader: DataLoader[Any], plan: BatchPlan, trainings: int) -> None:
    first = next(iter(plan))[:1]
    check_shared_memory(
        lambda: cast("Collate", loader.collate_fn)([loader.dataset[key] for key in first]),
        workers=loader.num_workers,
        images=plan.micro_batch,
        ahead=PREFETCH,
        held=2 * plan.accumulate,
        trainings=trainings,
    )


def batches(loader: DataLoader[Any], accumulate: int) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the micro-batches of one step after the other; an error in a worker keeps its own message."""
    micro_batches: list[Mapping[str, Any]] = []
    try:
        for micro_batch in loader:
            micro_batches.append(micro_batch)
            if len(micro_batches) == accumulate:
                yield micro_batches
                micro_batches = []
    except QaclimsError as error:
        raise without_traceback(error) from None


def first_micro_batch(loader: DataLoader[Any]) -> Mapping[str, Any]:
    """Load the next micro-batch in this process, without advancing the loader."""
    keys = next(iter(cast("BatchPlan", loader.batch_sampler)))
    items = [loader.dataset[key] for key in keys]
    return cast("Collate", loader.collate_fn)(items)


def micro_batches(share: int, most: int) -> int:
    """Return the largest number of equal micro-batches, up to `most`, that `share` images can be split into.

    Examples:
        >>> micro_batches(4, 2), micro_batches(1, 2), micro_batches(6, 4)
        (2, 1, 3)
    """
    return next(count for count in range(min(share, most), 0, -1) if share % count == 0)


def default_workers(processes: int) -> int:
    """Workers per training process: an equal share of the cores, less one core for the training itself, at most 16."""
    return min(MAX_WORKERS, max(0, usable_cores() // max(processes, 1) - 1))


def without_traceback(error: QaclimsError) -> QaclimsError:
    """Remove the traceback that torch puts into the message of a worker's error."""
    text = str(error)
    if "Original Traceback" not in text:
        return error
    return type(error)(text.rstrip().rpartition(f"{type(error).__name__}: ")[2])


def image_names(micro_batches: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return names of the images in some micro-batches."""
    return [str(name) for micro_batch in micro_batches for name in micro_batch.get("id", ())]


def _end_workers(loader: DataLoader[Any]) -> None:
    """End the workers of a loader, and kill those that do not end.

    Torch would send them a SIGTERM, which they ignore, and wait for them for ever.
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


def _ignore_signals(worker: int) -> None:  # noqa: ARG001 - torch passes it
    """Ignore Ctrl-C and SIGTERM in a worker: they go to the whole process group, but only the training handles them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
