"""Format numbers for people: percentages, intervals, large numbers."""

import math

from qaclims_path.report.evaluation import Interval


def number(value: float | None, form: str = "g", none: str = "-") -> str:
    """Format a number; None and NaN become a dash or the text `none`.

    Examples:
        >>> number(0.71824, ".1%"), number(None, ".3f")
        ('71.8%', '-')
    """
    return none if value is None or math.isnan(value) else f"{value:{form}}"


def percent(value: float | None) -> str:
    """Format a fraction in percent with two decimals; None and NaN become a dash.

    Examples:
        >>> percent(0.71824), percent(float("nan"))
        ('71.82', '-')
    """
    return "-" if value is None else number(100 * value, ".2f")


def interval_text(interval: Interval | None) -> str:
    """Format a 95 % interval in percent; empty for None and NaN.

    Examples:
        >>> interval_text((0.381, 0.629))
        '38.1-62.9'
    """
    if interval is None or math.isnan(interval[0]):
        return ""
    return f"{100 * interval[0]:.1f}-{100 * interval[1]:.1f}"


def spaced(count: int | None, gap: str = " ") -> str:
    """Format an integer in groups of three digits; None becomes `?`.

    Examples:
        >>> spaced(10582)
        '10 582'
    """
    return "?" if count is None else f"{count:,}".replace(",", gap)


def size_on_disk(size: int) -> str:
    """Format a number of bytes in kB, MB or GB.

    Examples:
        >>> size_on_disk(1_400_000)
        '1.4 MB'
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
