"""Write numbers for people: percentages, intervals, large numbers."""

import math

from qaclims_path.report.evaluation import Interval


def number(value: float | None, form: str = "g", none: str = "-") -> str:
    """A number in a format, and a dash or another text where there is none.

    Example:
        >>> number(0.71824, ".1%"), number(None, ".3f")
        ('71.8%', '-')
    """
    return none if value is None or math.isnan(value) else f"{value:{form}}"


def percent(value: float | None) -> str:
    """A fraction in percent with two digits, a dash where there is none.

    Example:
        >>> percent(0.71824), percent(float("nan"))
        ('71.82', '-')
    """
    return "-" if value is None else number(100 * value, ".2f")


def interval_text(interval: Interval | None) -> str:
    """A 95 % interval in percent; empty where there is none.

    Example:
        >>> interval_text((0.381, 0.629))
        '38.1-62.9'
    """
    if interval is None or math.isnan(interval[0]):
        return ""
    return f"{100 * interval[0]:.1f}-{100 * interval[1]:.1f}"


def spaced(count: int | None, gap: str = " ") -> str:
    """A whole number in groups of three digits; `?` where it is not known.

    Example:
        >>> spaced(10582)
        '10 582'
    """
    return "?" if count is None else f"{count:,}".replace(",", gap)


def size_on_disk(size: int) -> str:
    """Bytes in the unit that suits them.

    Example:
        >>> size_on_disk(1_400_000)
        '1.4 MB'
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
