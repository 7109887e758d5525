"""Whether the batches of loaders fit into shared memory."""

import pytest

from qaclims_path.files import shared_memory
from qaclims_path.files.shared_memory import Traffic, find_shortage, free_bytes

MIB = 2**20
DOCKER = 64 * MIB


def test_free_bytes_are_those_of_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    assert free_bytes() > 0
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path / "absent")
    assert free_bytes() is None


def test_every_worker_has_two_batches_in_shared_memory() -> None:
    assert Traffic(workers=8, batch=10).bytes == 180
    assert Traffic(workers=8, batch=10, held=4, trainings=2).bytes == 400
    assert Traffic(workers=0, batch=10).bytes == 0


@pytest.mark.parametrize("trainings", [1, 2])
@pytest.mark.parametrize("free", [0, 9, 30, 64, 1000])
def test_as_many_workers_are_proposed_as_fit(free: int, trainings: int) -> None:
    fitting = Traffic(8, 10, trainings=trainings).workers_within(free)
    assert Traffic(fitting, 10, trainings=trainings).bytes <= free
    assert Traffic(fitting + 1, 10, trainings=trainings).bytes > free


def test_a_shortage_names_the_sizes_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: DOCKER)
    assert find_shortage(Traffic(8, 5 * MIB)) == (
        "8 worker(s) pass up to 90 MiB of batches through shared memory, and /dev/shm has 64 MiB free",
        "start a container with --shm-size=256m, or give --workers 5",
    )
    assert find_shortage(Traffic(5, 5 * MIB)) is None


def test_room_is_left_for_the_queues_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic(2, MIB)
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: traffic.bytes + 2 * shared_memory.SEMAPHORES)
    assert find_shortage(traffic) is None
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: traffic.bytes)
    assert find_shortage(traffic) is not None


def test_shared_memory_without_a_limit_is_never_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: None)
    assert find_shortage(Traffic(8, 2**40)) is None
