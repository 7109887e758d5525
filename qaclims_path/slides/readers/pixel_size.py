"""Read pixel sizes from TIFF tags, OME-XML and Aperio descriptions."""

import math
import re

from qaclims_path.files.numbers import parse_number

MICROMETRES_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # inch, centimetre
MAX_MPP = 25.0  # um; larger values are the 72 to 600 dots per inch that picture programs write for printers
OME_UNITS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "micrometer": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}

PixelSize = tuple[float, float] | None


def from_resolution(x_per_unit: float, y_per_unit: float, unit: int) -> PixelSize:
    """Read a pixel size from TIFF resolution tags; None if they are empty or meant for a printer.

    Examples:
        >>> from_resolution(40_000, 40_000, 3), from_resolution(72, 72, 2)
        ((0.25, 0.25), None)
    """
    if unit not in MICROMETRES_PER_UNIT or min(x_per_unit, y_per_unit) <= 0:
        return None
    return plausible(MICROMETRES_PER_UNIT[unit] / x_per_unit, MICROMETRES_PER_UNIT[unit] / y_per_unit)


def plausible(x: float, y: float) -> PixelSize:
    """Return the pair if a microscope can have such pixels, else None."""
    return (x, y) if all(math.isfinite(v) and 0 < v < MAX_MPP for v in (x, y)) else None


def from_ome(description: str) -> PixelSize:
    """Read a pixel size from OME-XML: PhysicalSizeX and PhysicalSizeY of the first image.

    Examples:
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
    return plausible(sizes[0], sizes[1])


def from_aperio(description: str) -> tuple[PixelSize, float | None]:
    """Read pixel size and objective power from an Aperio description.

    Examples:
        >>> from_aperio("Aperio Image|AppMag = 20|MPP = 0.4990")
        ((0.499, 0.499), 20.0)
    """
    pairs = (part.partition("=") for part in description.split("|")[1:])
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    mpp, power = parse_number(fields.get("MPP")), parse_number(fields.get("AppMag"))
    return (plausible(mpp, mpp) if mpp else None), power if power and power > 0 else None
