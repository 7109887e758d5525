"""Shared memory of this machine, through which processes that load data pass their batches on."""

import os
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - the folder of Linux, where torch puts shared tensors
SEMAPHORES = 2**15  # bytes that the queues of a worker take besides its batches: seven pages, and one to spare


@dataclass(frozen=True)
class Traffic:
    """Batches that lie in shared memory at the same time.

    Attributes:
        workers: Processes that load data for one training process.
        batch: Bytes of one batch.
        ahead: Batches that each worker prepares in advance.
        held: Batches that a training process holds besides those: of the step that it runs, and of the next one.
        trainings: Training processes of this machine.
    """

    workers: int
    batch: int
    ahead: int = 2
    held: int = 2
    trainings: int = 1

    @property
    def bytes(self) -> int:
        """Most bytes in use at a time."""
        return (self.workers * self.ahead + self.held) * self.batch * self.trainings if self.workers else 0

    def workers_within(self, free: int) -> int:
        """Return the number of workers of one training process whose batches fit into `free` bytes.

        Examples:
            >>> Traffic(workers=8, batch=10).workers_within(64)
            2
        """
        return max(0, (free // (self.trainings * max(self.batch, 1)) - self.held) // self.ahead)


def free_bytes() -> int | None:
    """Return the free bytes of shared memory; None where it is not limited by a folder, as on macOS and Windows."""
    try:
        found = os.statvfs(FOLDER)
    except (OSError, AttributeError):
        return None
    return found.f_bavail * found.f_frsize


def find_shortage(traffic: Traffic) -> tuple[str, str] | None:
    """Find out whether batches do not fit into shared memory; returns the problem and the way out, or None."""
    free = free_bytes()
    if free is None:
        return None
    for_batches = max(0, free - SEMAPHORES * traffic.workers * traffic.trainings)
    if traffic.bytes <= for_batches:
        return None
    room = 1 << (2 * traffic.bytes // 2**20).bit_length()  # MiB; twice as much, because others use it too
    workers = traffic.workers * traffic.trainings
    problem = (
        f"{workers} worker(s) pass up to {_mib(traffic.bytes)} of batches through shared memory, and {FOLDER} "
        f"has {_mib(free)} free"
    )
    return (
        problem,
        f"start a container with --shm-size={room}m, or give --workers {traffic.workers_within(for_batches)}",
    )


def _mib(count: int) -> str:
    return f"{count / 2**20:.{0 if count >= 10 * 2**20 else 1}f} MiB"
