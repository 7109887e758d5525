"""Read all tiles of a grid in order, decoding every compressed tile of the slide only once."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from qaclims_path.slides.geometry import LevelRegion, Pixels, locate, resample
from qaclims_path.slides.reader import Slide
from qaclims_path.types import Backend, TileGrid


@runtime_checkable
class StreamingBackend(Protocol):
    """A backend that reads many regions faster together than one by one."""

    def stream(self, regions: Sequence[LevelRegion], threads: int = 1) -> Iterator[Pixels]:
        """Yield the pixels of the regions in order; several threads decode ahead."""
        ...


def iter_tiles(slide: Slide, grid: TileGrid) -> Iterator[tuple[int, Pixels]]:
    """Yield index and pixels (size size 3, uint8) of every tile.

    Every tile equals `slide.read`: only the decoding is shared, each tile is resampled from the same pixels of the same
    level. Memory holds the decoded tiles that later tiles still need; if the grid is in row order, that is a band as
    high as a tile. Runs in one thread; use several processes for several slides.

    Examples:
        >>> for index, tile in iter_tiles(slide, grid):  # doctest: +SKIP
        ...     save(f"{grid.x[index]}_{grid.y[index]}.jpg", tile)
    """
    size, step = (grid.size, grid.size), slide.steps(grid.mpp)
    corners = zip(grid.x.tolist(), grid.y.tolist(), strict=True)
    regions = [locate(slide.info.levels, x, y, size, step) for x, y in corners]
    if any(region.is_huge for region in regions):  # the pyramid lacks coarse levels
        for index in range(len(grid)):
            yield index, slide.read_by_step(int(grid.x[index]), int(grid.y[index]), size, step)
        return
    for index, (region, pixels) in enumerate(zip(regions, read_regions(slide.backend, regions), strict=True)):
        yield index, pixels if region.box is None else resample(pixels, region.box, size)


def read_regions(backend: Backend, regions: Sequence[LevelRegion], threads: int = 1) -> Iterator[Pixels]:
    """Yield the pixels of regions in order, without resampling; where the backend can, threads decode ahead."""
    if isinstance(backend, StreamingBackend):
        yield from backend.stream(regions, threads)
    else:  # OpenSlide is slower with bands, and has a cache of its own
        for region in regions:
            yield backend.read_level(region.level, region.x, region.y, region.width, region.height)
