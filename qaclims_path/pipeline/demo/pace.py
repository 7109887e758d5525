"""Parts of a work in order, with the time that is left, at the speed that this machine has while it works."""

import time
from collections.abc import Callable, Sequence

from qaclims_path.files.cores import usable_cores
from qaclims_path.pipeline.run.estimate import gflop_per_second

SHORT = 0.05  # share of the work below which a part says nothing about the pace: loading libraries takes most of it
SKIPPED = 0.1  # share of the estimated time of a part, below which it was finished before
ESTIMATED_AT = 90.0  # GFLOP per second of small products of matrices, on the core that the estimates were made on
MEASURED = 0.3  # seconds of a measurement, long enough to see other programs at work
Say = Callable[[str], None]
Part = tuple[str, float, Callable[[], object]]  # description, estimated seconds on one core, work


def do_parts(parts: Sequence[Part], say: Say, pace: float = 1.0) -> None:
    """Do parts in order, and predict the time left from the speed so far.

    Args:
        parts: The parts.
        say: Receives a line per part.
        pace: Seconds that a second of the estimates takes, before a part of some length is done.
    """
    left = whole = sum(seconds for _, seconds, _ in parts)
    spent = done = 0.0
    for number, (title, seconds, work) in enumerate(parts, 1):
        minutes = (spent / done if done else pace) * left / 60
        say(f"[{number}/{len(parts)}] {title} (about {max(1, round(minutes))} min left)")
        start = time.monotonic()
        work()
        took = time.monotonic() - start
        left -= seconds
        if seconds > SHORT * whole and took > SKIPPED * seconds:
            spent, done = spent + took, done + seconds


def measured_pace() -> float:
    """Measure how much slower a core is now than the one that the estimates were made on, other programs included."""
    return ESTIMATED_AT * usable_cores() / gflop_per_second(MEASURED)
