"""Threads follow the cores: by affinity, by the limits of a container, and by what computes."""

import os

import pytest

from qaclims_path.files import cores
from qaclims_path.files.cores import threads_beside, usable_cores


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretend a number of cores and the files of control groups."""

    def pretend(count, **files):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)
        monkeypatch.setattr(cores, "CGROUP", tmp_path)
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cfs", "cpu.cfs")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return pretend


LIMITS = {
    "none": ({}, 12),
    "no limit": ({"cpu_max": "max 100000\n"}, 12),
    "four cores": ({"cpu_max": "400000 100000\n"}, 4),
    "half a core": ({"cpu_max": "50000 100000\n"}, 1),
    "more than there are": ({"cpu_max": "6400000 100000\n"}, 12),
    "older: no limit": ({"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}, 12),
    "older: three cores": ({"cpu__cfs_quota_us": "300000\n", "cpu__cfs_period_us": "100000\n"}, 3),
    "damaged": ({"cpu_max": "?\n"}, 12),
}


@pytest.mark.parametrize(("files", "wanted"), LIMITS.values(), ids=LIMITS)
def test_usable_cores_follow_affinity_and_container(machine, files, wanted):
    machine(12, **files)
    assert usable_cores() == wanted


@pytest.mark.parametrize(("count", "cpu", "gpu"), [(1, 1, 1), (2, 2, 2), (8, 2, 8), (64, 8, 16)])
def test_threads_are_few_beside_a_cpu_and_all_cores_beside_a_gpu(machine, count, cpu, gpu):
    machine(count)
    assert (threads_beside("cpu"), threads_beside("cuda"), threads_beside(None)) == (cpu, gpu, gpu)
