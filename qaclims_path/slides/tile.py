"""A tile by its place on a slide: pixels are read when they are asked for, from a slide that stays open."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from qaclims_path.compute.stain import StainFit
    from qaclims_path.slides.reader import Slide

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
        slide = _SLIDES.open(self.slide, self.backend, self.mpp0)
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


class _Slides(threading.local):
    """The slides that this thread holds open; a forked process begins with none."""

    def __init__(self) -> None:
        self.open_ones: OrderedDict[tuple[str, str, float | None], Slide] = OrderedDict()
        self.process = os.getpid()

    def open(self, path: str, backend: str, mpp: float | None) -> "Slide":
        from qaclims_path.slides.reader import open_slide

        if self.process != os.getpid():
            self.open_ones, self.process = OrderedDict(), os.getpid()
        key = (path, backend, mpp)
        if key not in self.open_ones:
            self.open_ones[key] = open_slide(path, backend=backend, mpp=mpp)
        self.open_ones.move_to_end(key)
        while len(self.open_ones) > MOST_OPEN:
            self.open_ones.popitem(last=False)[1].close()
        return self.open_ones[key]


_SLIDES = _Slides()


@lru_cache(maxsize=256)
def _fit(path: Path) -> "StainFit":
    from qaclims_path.slides.stain import load_fit

    return load_fit(path)
