"""A tile that is read from its slide on demand; the slide stays open for the next tile."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qaclims_path.slides.slide_cache import SlideCache

if TYPE_CHECKING:
    from qaclims_path.compute.stain import StainFit

MAX_OPEN = 8  # slides per thread


@dataclass(frozen=True, slots=True)
class SlideTile:
    """Position and reading options of one tile.

    Attributes:
        tile: Id of the tile.
        slide: Path of the slide.
        x: Left edge in level 0 pixels.
        y: Top edge in level 0 pixels.
        side: Width and height in the tile's own pixels.
        mpp: Pixel size of the tile in micrometres.
        mpp0: Pixel size of level 0 in micrometres, if it differs from that of the file.
        backend: Name of the reader.
        stain: File of the stain fit that the tile is normalised with, if any.
    """

    tile: str
    slide: str
    x: int
    y: int
    side: int
    mpp: float
    mpp0: float | None = None
    backend: str = "auto"
    stain: Path | None = None

    @property
    def name(self) -> str:
        """Id of the tile."""
        return self.tile

    def pixels(self) -> NDArray[np.uint8]:
        """Read the tile (H W 3)."""
        slide = _OPEN.slides(self.slide, self.backend, self.mpp0)
        pixels: NDArray[np.uint8] = slide.read(self.x, self.y, self.side, self.side, self.mpp)
        if self.stain is None:
            return pixels
        from qaclims_path.compute.stain import normalise

        return normalise(pixels, _cached_fit(self.stain))

    def size(self) -> tuple[int, int]:
        """Return the width and height in pixels."""
        return self.side, self.side

    def __str__(self) -> str:
        return f"the tile at {self.x}, {self.y} of {self.slide}"


class _OpenSlides(threading.local):
    """The open slides of one thread."""

    def __init__(self) -> None:
        self.slides = SlideCache(MAX_OPEN)


_OPEN = _OpenSlides()


@lru_cache(maxsize=256)
def _cached_fit(path: Path) -> "StainFit":
    from qaclims_path.slides.stain import load_fit

    return load_fit(path)
