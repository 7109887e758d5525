"""Time single works, and say what they were timed on."""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version


def median_ms(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """Return median and spread (slowest less fastest) in milliseconds, after one run that is not counted."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times), max(times) - min(times)


def conditions(*packages: str, threads: str = "one thread each") -> str:
    """Return the versions of Python and of the packages, how many threads there are, and the load of the machine."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"Python {platform.python_version()}, {versions}; {threads}; load {load}"


def exit_with(missed: Sequence[str]) -> None:
    """Exit with 1 and name the limits that were missed, or with 0."""
    sys.exit(f"bars not reached: {', '.join(missed)}" if missed else 0)
