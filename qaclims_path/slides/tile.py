"""A tile by its place on a slide: pixels are read when they are asked for, from a slide that stays open."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qaclims_path.slides.handles import OpenSlides

if TYPE_CHECKING:
    from qaclims_path.compute.stain import StainFit

MOST_OPEN = 8  # slides per thread


@dataclass(frozen=True, slots=True)
class SlideTile:
    """Where a tile lies, and how it is read.

    Attributes:
        tile: Its id.
        slide: Path of the slide.
        x: Left edge in level 0 pixels.
        y: Top edge in level 0 pixels.
        side: Width and height in pixels as it is read.
        mpp: Pixel size as it is read, in micrometres.
        mpp0: Pixel size of level 0, where it is not that of the file.
        backend: Name of the reader.
        stain: Saved fit by which it is normalised, if at all.
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
        """The id of the tile."""
        return self.tile

    def pixels(self) -> NDArray[np.uint8]:
        """H W 3."""
        slide = _THREAD.slides(self.slide, self.backend, self.mpp0)
        pixels: NDArray[np.uint8] = slide.read(self.x, self.y, self.side, self.side, self.mpp)
        if self.stain is None:
            return pixels
        from qaclims_path.compute.stain import normalise

        return normalise(pixels, _fit(self.stain))

    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.side, self.side

    def __str__(self) -> str:
        return f"the tile at {self.x}, {self.y} of {self.slide}"


class _Thread(threading.local):
    """What each thread has for itself."""

    def __init__(self) -> None:
        self.slides = OpenSlides(MOST_OPEN)


_THREAD = _Thread()


@lru_cache(maxsize=256)
def _fit(path: Path) -> "StainFit":
    from qaclims_path.slides.stain import load_fit

    return load_fit(path)
