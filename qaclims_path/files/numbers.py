"""Numbers in files and messages: texts that may not be numbers, NaN, areas, percentages and times."""

import math

SMALL = 0.001  # mm2 below which areas are given in um2
ON_PAGES = ("mm²", "µm²")  # elsewhere fonts and terminals may lack these characters


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


def significant(value: float) -> str:
    """Format a number with three significant digits, without an exponent.

    Examples:
        >>> significant(2.4912), significant(0.000123456), significant(12345), significant(0)
        ('2.49', '0.000123', '12300', '0')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def percent_text(value: float) -> str:
    """Format a percentage with one decimal; a dash for NaN.

    Examples:
        >>> percent_text(31.24), percent_text(0.02), percent_text(float("nan"))
        ('31.2 %', '<0.1 %', '-')
    """
    if math.isnan(value):
        return "-"
    return "<0.1 %" if 0 < value < 0.05 else f"{value:.1f} %"


def area_text(mm2: float, units: tuple[str, str] = ("mm2", "um2")) -> str:
    """Format an area with three significant digits, in square micrometres where it is small.

    Args:
        mm2: Area in square millimetres.
        units: Names of square millimetres and square micrometres.

    Examples:
        >>> area_text(12.3456), area_text(0.00000325), area_text(0), area_text(0.0123, ON_PAGES)
        ('12.3 mm2', '3.25 um2', '0 mm2', '0.0123 mm²')
    """
    large, small = units
    return f"{significant(1e6 * mm2)} {small}" if 0 < mm2 < SMALL else f"{significant(mm2)} {large}"


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
