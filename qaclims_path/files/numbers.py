"""Numbers in files and messages: texts that may not be numbers, NaN, which JSON does not have, and times."""

import math


def parse_number(text: str | float | None) -> float | None:
    """Read a finite number; None for anything else.

    Examples:
        >>> parse_number("0.25"), parse_number("0,25"), parse_number("nan"), parse_number(None)
        (0.25, None, None, None)
    """
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return finite(number)


def finite(value: float) -> float | None:
    """Return the number as JSON can hold it: None for NaN and infinities."""
    return value if math.isfinite(value) else None


def spent(seconds: float) -> str:
    """Format a time.

    Examples:
        >>> spent(9.3), spent(192), spent(7500)
        ('9.3 s', '3 min 12 s', '2 h 05 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
