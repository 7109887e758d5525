"""Masks of tiles, drawn from annotated regions at the pixels that are read."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qaclims_path.data.card import IGNORE
from qaclims_path.pipeline.tiling.options import BACKGROUND, UNKNOWN
from qaclims_path.slides.annotations.masks import draw_regions
from qaclims_path.slides.annotations.regions import SlideRegions
from qaclims_path.slides.geometry import extent
from qaclims_path.slides.reader import Slide
from qaclims_path.types import TileGrid


def draw_masks(
    slide: Slide, regions: SlideRegions, grid: TileGrid, chosen: NDArray[np.bool_], *, sparse: bool
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the number and the mask (size size codes) of every chosen tile.

    Args:
        slide: The open slide.
        regions: Its annotated regions.
        grid: Its N tiles.
        chosen: N.
        sparse: Undrawn pixels are ignored rather than background.
    """
    size, step = (grid.size, grid.size), slide.steps(grid.mpp)
    for number in np.flatnonzero(chosen).tolist():
        where = extent(slide.info.levels, int(grid.x[number]), int(grid.y[number]), size, step)
        yield number, draw_regions(regions, *where, grid.size, undrawn=IGNORE if sparse else 0)


def palette(colors: Sequence[tuple[int, int, int]], *, sparse: bool) -> list[int]:
    """Return the flat palette of these codes, from the colours of the classes."""
    shown = [BACKGROUND, *colors]
    if sparse:
        shown += [UNKNOWN] * (IGNORE + 1 - len(shown))
    return [channel for color in shown for channel in color]
