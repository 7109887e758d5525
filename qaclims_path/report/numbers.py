"""Write numbers for people: percentages, intervals, large numbers."""

import math

from qaclims_path.report.evaluation import Interval


def percent(value: float) -> str:
    """A fraction in percent with two digits, a dash for NaN.

    Example:
        >>> percent(0.71824), percent(float("nan"))
        ('71.82', '-')
    """
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def interval_text(interval: Interval | None) -> str:
    """A 95 % interval in percent; empty where there is none.

    Example:
        >>> interval_text((0.381, 0.629))
        '38.1-62.9'
    """
    if interval is None or math.isnan(interval[0]):
        return ""
    return f"{100 * interval[0]:.1f}-{100 * interval[1]:.1f}"


def spaced(number: int, gap: str = " ") -> str:
    """A whole number in groups of three digits.

    Example:
        >>> spaced(10582)
        '10 582'
    """
    return f"{number:,}".replace(",", gap)
