"""Pixel sizes as TIFF files write them down."""

import math
import re

from qaclims_path.files.numbers import parse_number

MICROMETRES_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # inch, centimetre
COARSEST = 25.0  # um; beyond are the 72 to 600 dots per inch that picture programs fill in for a printer
OME_UNITS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "micrometer": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}

PixelSize = tuple[float, float] | None


def from_resolution(x_per_unit: float, y_per_unit: float, unit: int) -> PixelSize:
    """Of the TIFF resolution tags; None where they are empty or meant for a printer.

    Example:
        >>> from_resolution(40_000, 40_000, 3), from_resolution(72, 72, 2)
        ((0.25, 0.25), None)
    """
    if unit not in MICROMETRES_PER_UNIT or min(x_per_unit, y_per_unit) <= 0:
        return None
    return believable(MICROMETRES_PER_UNIT[unit] / x_per_unit, MICROMETRES_PER_UNIT[unit] / y_per_unit)


def believable(x: float, y: float) -> PixelSize:
    """The pair, where a microscope may have made such pixels."""
    return (x, y) if all(math.isfinite(v) and 0 < v < COARSEST for v in (x, y)) else None


def from_ome(description: str) -> PixelSize:
    """Of OME-XML: PhysicalSizeX and Y of the first image.

    Example:
        >>> from_ome('<OME><Image><Pixels PhysicalSizeX="0.5" PhysicalSizeY="0.4"/></Image></OME>')
        (0.5, 0.4)
    """
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", description) if "<OME" in description[:2000] else None
    if pixels is None:
        return None
    sizes = []
    for axis in "XY":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', pixels[0])
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', pixels[0])
        scale = OME_UNITS.get(unit[1].replace("\u03bc", "\u00b5") if unit else "um")
        number = parse_number(size[1]) if size else None
        if number is None or scale is None:
            return None
        sizes.append(number * scale)
    return believable(sizes[0], sizes[1])


def from_aperio(description: str) -> tuple[PixelSize, float | None]:
    """Pixel size and objective power of an Aperio description.

    Example:
        >>> from_aperio("Aperio Image|AppMag = 20|MPP = 0.4990")
        ((0.499, 0.499), 20.0)
    """
    pairs = (part.partition("=") for part in description.split("|")[1:])
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    mpp, power = parse_number(facts.get("MPP")), parse_number(facts.get("AppMag"))
    return (believable(mpp, mpp) if mpp else None), power if power and power > 0 else None
