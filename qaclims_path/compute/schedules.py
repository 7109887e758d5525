"""Schedules: functions of the step that return a factor of the learning rate, or of a weight of a loss."""

import math


def poly(step: int, steps: int, power: float = 0.9) -> float:
    """Return the factor (1 - step / steps) ** power, as published.

    Examples:
        >>> [round(poly(step, 4, 1.0), 2) for step in range(4)]
        [1.0, 0.75, 0.5, 0.25]
    """
    return float((1 - min(step, steps) / max(steps, 1)) ** power)


def cosine(step: int, steps: int) -> float:
    """Return a factor that falls from one to zero along half a cosine.

    Examples:
        >>> cosine(5, 10)
        0.5
    """
    return 0.5 + 0.5 * math.cos(math.pi * min(step, steps) / max(steps, 1))


def warmed(step: int, warmup: int, steps: int) -> tuple[float, int, int]:
    """Split a step into the warm-up and the step of the schedule that follows.

    Returns:
        Factor of the warm-up (1 when it is over), and the step and number of steps of the schedule.

    Examples:
        >>> warmed(1, 4, 104), warmed(54, 4, 104)
        ((0.5, 0, 100), (1.0, 50, 100))
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return rise, max(0, step - warmup), max(1, steps - warmup)


def risen(progress: float, ramp: float) -> float:
    """Return a factor that rises in a straight line from 0 to 1, and stays there.

    Args:
        progress: Share of the training that is done, 0..1.
        ramp: Share of the training at which the factor is 1; 0 has no rise.

    Examples:
        >>> [risen(progress, 0.5) for progress in (0.0, 0.25, 0.75)], risen(0.0, 0.0)
        ([0.0, 0.5, 1.0], 1.0)
    """
    return min(1.0, progress / ramp) if ramp else 1.0
