"""Arrays that are kept for the processes of a machine."""

import os
import pickle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from qaclims_path.files import kept
from qaclims_path.files.kept import Kept, available_memory, room


def arrays(number: int) -> list[np.ndarray]:
    """Arrays of one to three axes, and one without an element."""
    random = np.random.default_rng(number)
    shapes = [(3 + number % 5,), (4, 5 + number % 3, 3), (0,), (2, 7)]
    return [random.integers(0, 256, shape, np.uint8) for shape in shapes]


def assert_equal(found: list[np.ndarray] | None, wanted: list[np.ndarray]) -> None:
    assert found is not None
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_lists_come_back_as_they_were(tmp_path: Path) -> None:
    store = Kept(tmp_path / "sub" / "kept", 9, 10**6)
    assert store.get(8) is None
    for number in (8, 0, 3):
        store.put(number, arrays(number))
    store.hide()
    assert not list((tmp_path / "sub").iterdir())
    for number in (0, 3, 8):
        assert_equal(store.get(number), arrays(number))
    assert store.get(1) is None


def test_a_process_that_is_not_forked_keeps_nothing(tmp_path: Path) -> None:
    store = Kept(tmp_path / "kept", 2, 10**6)
    store.put(0, arrays(0))
    copy = pickle.loads(pickle.dumps(store))
    copy.put(1, arrays(1))
    assert copy.get(0) is copy.get(1) is store.get(1) is None


def fill(store: Kept, part: int) -> None:
    """Keep overlapping parts, as two workers do."""
    for number in range(part * 20, part * 20 + 40):
        store.put(number, arrays(number))
        assert_equal(store.get(number), arrays(number))


def test_processes_fill_one_file_together(tmp_path: Path) -> None:
    store = Kept(tmp_path / "kept", 60, 10**6)
    other = Kept(tmp_path / "kept", 60, 10**6)  # another rank
    store.hide()
    workers = [get_context("fork").Process(target=fill, args=(each, part)) for part, each in ((0, store), (1, other))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    for number in range(60):
        assert_equal(store.get(number), arrays(number))
        assert_equal(other.get(number), arrays(number))


def test_what_does_not_fit_is_left_out(tmp_path: Path) -> None:
    limit = 3000
    store = Kept(tmp_path / "kept", 50, limit)
    for number in range(50):
        store.put(number, arrays(number))
    found = [number for number in range(50) if store.get(number) is not None]
    assert 5 < len(found) < 40
    assert store.path.stat().st_size <= limit
    nothing = Kept(tmp_path / "nothing", 50, 0)
    nothing.put(0, arrays(0))
    assert nothing.get(0) is None


def test_a_full_disk_ends_the_keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Kept(tmp_path / "kept", 5, 10**6)
    store.put(0, arrays(0))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        store.put(1, arrays(1))
    store.put(2, arrays(2))
    assert [store.get(number) is not None for number in range(3)] == [True, False, False]


def test_room_follows_memory_and_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < room(tmp_path / "not" / "there") <= available_memory() / 2 * 1.2
    monkeypatch.setattr(kept, "available_memory", lambda: 1000)
    assert room(tmp_path) == 500
