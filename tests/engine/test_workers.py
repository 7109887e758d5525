"""Processes that load data: ended by the system, or without shared memory."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from qaclims_path.engine.distributed import launch
from qaclims_path.engine.sampling import BatchPlan, batches, load
from qaclims_path.engine.workers import InSharedMemory, WorkerLost
from qaclims_path.errors import UsageError
from qaclims_path.files import shared_memory

OPTIONS = ["--mount", "--map-root-user"]  # as `unshare` takes them, so that any user may mount in it
FIRST = 10  # first index of the permutation of 12 in epoch 0
SMALL = "mount -t tmpfs -o size={size} none /dev/shm && exec {python} -P -c '{code}'"
LOADS = """
import torch
from qaclims_path.engine import sampling
from qaclims_path.engine.distributed import launch
from qaclims_path.engine.settings import RunSettings

class Zeros(list):
    def __getitem__(self, index):
        return torch.zeros(3, 64, 64, dtype=torch.uint8)

if {unchecked}:
    sampling.check_shared_memory = lambda *_, **__: None
processes = launch(RunSettings(devices=1, accelerator="cpu", workers=2))
with sampling.load(Zeros(range(64)), sampling.BatchPlan(64, 8), torch.stack, processes) as loader:
    print(sum(1 for _ in loader))
"""


class Ending:
    """Items of which one ends its process by a signal; the first of epoch 0 does not."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if index != FIRST:
            signal.signal(self.number, signal.SIG_DFL) if self.number != signal.SIGKILL else None
            os.kill(os.getpid(), self.number)
        return {"image": torch.zeros(3, 8, 8)}


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (signal.SIGKILL, r"The system killed a process that loads data, .* memory runs out\. Use fewer .* 1 \(now 2\)"),
        (signal.SIGBUS, r"ended with a bus error, .* shared memory is full\. .*--workers 1 \(now 2\), .*--shm-size"),
        (signal.SIGABRT, r"A process that loads data ended with SIGABRT\. Use --workers 0"),
    ],
)
def test_a_worker_that_the_system_ends_is_explained(number: int, sentence: str, toy) -> None:
    processes = launch(toy.running(workers=2))
    with (
        pytest.raises(WorkerLost, match=sentence + r".* The same command continues after the last checkpoint\.$"),
        load(Ending(number), BatchPlan(12, 4), None, processes) as loader,
    ):
        list(batches(loader, 1))


def test_other_errors_are_unchanged(toy) -> None:
    processes = launch(toy.running())
    with (
        pytest.raises(RuntimeError, match=r"^shapes differ$"),
        load(toy.Squares(), BatchPlan(24, 4), None, processes),
    ):
        raise RuntimeError("shapes differ")


def test_a_training_without_enough_shared_memory_does_not_start(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qaclims_path.engine.workers.free_bytes", lambda: 2**13)
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: 2**13)
    processes = launch(toy.running(workers=2))
    expected = r"2 worker\(s\) pass up to .* has 0\.0 MiB free\. Start a container with --shm-size=1m, .*--workers 0\.$"
    with pytest.raises(UsageError, match=expected), load(toy.Squares(), BatchPlan(24, 4), None, processes):
        pass


def test_without_workers_shared_memory_does_not_matter(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: 0)
    with load(toy.Squares(), BatchPlan(24, 4), None, launch(toy.running())) as loader:
        assert len(list(batches(loader, 1))) == 6


def test_batches_are_not_shared_in_the_training_itself() -> None:
    assert not InSharedMemory(torch.stack)([torch.zeros(2)]).is_shared()


def in_small_memory(size: str, *, unchecked: bool) -> str:
    """Load in a namespace with a shared memory of some size; returns the last line that is printed."""
    inside = SMALL.format(size=size, python=sys.executable, code=LOADS.format(unchecked=unchecked))
    done = subprocess.run(
        ["unshare", *OPTIONS, "bash", "-c", inside], capture_output=True, text=True, check=False, timeout=120
    )
    return (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.fixture(scope="module")
def _namespaces() -> None:
    """Skip where this user may not mount, as in many containers."""
    mount = ["unshare", *OPTIONS, "bash", "-c", "mount -t tmpfs -o size=64k none /dev/shm"]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("namespaces with a mount of their own are not allowed")


@pytest.mark.slow
@pytest.mark.usefixtures("_namespaces")
def test_shared_memory_that_fills_while_loading_is_explained_and_nothing_waits() -> None:
    last = in_small_memory("100k", unchecked=True)
    assert "WorkerLost: The shared memory of loaded batches is full. Use fewer workers: --workers 1 (now 2)" in last


@pytest.mark.slow
@pytest.mark.usefixtures("_namespaces")
def test_shared_memory_of_the_size_that_is_asked_for_suffices() -> None:
    """Six batches of 96 KiB, and 64 KiB for the queues of two workers."""
    assert in_small_memory("640k", unchecked=False) == "8"
