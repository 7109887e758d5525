"""Numbers in files: texts that may not be numbers, and NaN, which JSON does not have."""

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
