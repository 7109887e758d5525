"""All tiles of a grid, in its order, at the price of decoding every compressed tile of the slide once."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from qaclims_path.slides.geometry import Pixels, Place, locate, resample
from qaclims_path.slides.reader import Slide
from qaclims_path.types import TileGrid


@runtime_checkable
class Streams(Protocol):
    """A backend that reads many places better than one by one."""

    def stream(self, places: Sequence[Place]) -> Iterator[Pixels]:
        """Pixels of the places in their order."""
        ...


def iter_tiles(slide: Slide, grid: TileGrid) -> Iterator[tuple[int, Pixels]]:
    """Yield number and pixels (size size 3) of every tile.

    Each is exactly what `slide.read` gives, because both read the same pixels of the same level and resample them by
    themselves; only the decoding is shared. Memory is that of the decoded tiles that later tiles still need: a band as
    high as a tile where the grid is in row order. One thread; spread slides over processes.

    Example:
        >>> for number, tile in iter_tiles(slide, grid):  # doctest: +SKIP
        ...     save(f"{grid.x[number]}_{grid.y[number]}.jpg", tile)
    """
    size, step = (grid.size, grid.size), slide.steps(grid.mpp)
    corners = zip(grid.x.tolist(), grid.y.tolist(), strict=True)
    places = [locate(slide.info.levels, x, y, size, step) for x, y in corners]
    if any(place.is_huge for place in places):  # tiles of a slide whose pyramid ends far too early
        for number in range(len(grid)):
            yield number, slide.read_by_step(int(grid.x[number]), int(grid.y[number]), size, step)
        return
    for number, (place, pixels) in enumerate(zip(places, _pixels(slide, places), strict=True)):
        yield number, pixels if place.box is None else resample(pixels, place.box, size)


def _pixels(slide: Slide, places: Sequence[Place]) -> Iterator[Pixels]:
    if isinstance(slide.backend, Streams):
        yield from slide.backend.stream(places)
    else:  # one by one: OpenSlide is slower with bands, and keeps what it has decoded by itself
        for place in places:
            yield slide.backend.read_level(place.level, place.x, place.y, place.width, place.height)
