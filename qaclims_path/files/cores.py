"""Cores that this process may use, and how many threads read files ahead."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
FEW, MOST = 2, 16  # threads; more than MOST wait for the interpreter
CORES_PER_THREAD = 8  # of a CPU that computes: its reading takes a tenth of its time


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, or less where its container is allowed less time.

    Examples:
        >>> usable_cores() >= 1
        True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, round(_container_cores() or cores)))


def threads_beside(device: str | None) -> int:
    """Return how many threads read files ahead: every core beside a GPU, few beside a CPU that computes.

    Args:
        device: Type of the device that computes, such as `cpu` or `cuda`; None where nothing does.

    Examples:
        >>> threads_beside("cuda") >= threads_beside("cpu") >= 1
        True
    """
    cores = usable_cores()
    wanted = max(FEW, cores // CORES_PER_THREAD) if device == "cpu" else cores
    return min(wanted, cores, MOST)


def _container_cores() -> float | None:
    """Return the processor time per second that the container is allowed; None where there is no limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((CGROUP / name).read_text(encoding="ascii") for name in names).split()
            return float(quota) / float(period) if float(quota) > 0 else None
        except (OSError, ValueError):  # another version of control groups, another system, or the word `max`
            continue
    return None
