"""Read the tiles of a slide into memory, without files."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qaclims_path.pipeline.tiling.options import TileOptions
from qaclims_path.pipeline.tiling.slide import SlideTask, find_tiles
from qaclims_path.slides.cohort.slide_list import SlideEntry
from qaclims_path.slides.streaming import iter_tiles


class SlideTile(NamedTuple):
    """One tile of a slide.

    Attributes:
        x: Left edge, in pixels of level 0.
        y: Upper edge, likewise.
        tissue: Share of tissue.
        pixels: S S 3, bytes.
    """

    x: int
    y: int
    tissue: float
    pixels: NDArray[np.uint8]


def read_tiles(
    slide: str, options: TileOptions, *, tissue: str = "otsu", roi: Path | None = None, slide_mpp: float | None = None
) -> Iterator[SlideTile]:
    """Yield the tiles that `tile` would cut, row by row; only a band of the slide is in memory.

    Args:
        slide: A file, a DICOM folder, or an address.
        options: Pixel size, size, stride and tissue of the tiles.
        tissue: `otsu`, `none`, a mask, or a GeoJSON.
        roi: A GeoJSON of the regions to read.
        slide_mpp: Pixel size of level 0 in micrometres, where the slide does not state it.
    """
    region = None if roi is None else str(roi)
    task = SlideTask(
        SlideEntry(Path(slide).stem, slide), Path(), options, "", roi=region, tissue=tissue, slide_mpp=slide_mpp
    )
    found = find_tiles(task)
    grid = found["grid"]
    with found["slide"] as opened:
        for index, pixels in iter_tiles(opened, grid):
            yield SlideTile(int(grid.x[index]), int(grid.y[index]), float(grid.tissue[index]), pixels)
