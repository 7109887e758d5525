"""Torch data sets of slide tiles: by index, or streamed row by row.

Each worker of a loader opens a slide when it first needs it, and keeps it open.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from qaclims_path.compute.stain import StainFit, normalise
from qaclims_path.files.shards import ALL, Shard
from qaclims_path.slides.reader import Slide, open_slide
from qaclims_path.slides.slide_cache import Key, SlideCache
from qaclims_path.slides.streaming import iter_tiles
from qaclims_path.types import TileGrid

Item = dict[str, Any]


@dataclass(frozen=True, eq=False)
class TiledSlide:
    """A slide and the tiles to read from it. Iterating opens it and yields its tiles (size size 3, uint8) in order.

    Attributes:
        path: Path of the slide.
        grid: Positions of its N tiles.
        backend: Name of the reader.
        mpp: Pixel size of level 0 in um (x, y), if it differs from that of the file.
        stain: Stain fit that tiles are normalised with, if any.
        present: N C, bool: labels of the tiles, if any.
        known: N C, bool: whether the presence of the class is known; None where all are.
    """

    path: str
    grid: TileGrid
    backend: str = "auto"
    mpp: tuple[float, float] | None = None
    stain: StainFit | None = None
    present: NDArray[np.bool_] | None = None
    known: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.grid)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        with self.open() as slide:
            for _, tile in self.stream(slide, 0, len(self)):
                yield tile

    @classmethod
    def of(cls, slide: Slide, grid: TileGrid) -> "TiledSlide":
        """Describe the tiles of an open slide, so that it can be opened again in the same way."""
        return cls(slide.info.path, grid, slide.info.backend, slide.info.mpp)

    @property
    def key(self) -> Key:
        """Path, reader and pixel size: the arguments of `open_slide`."""
        return self.path, self.backend, self.mpp

    def open(self) -> Slide:
        """Open the slide."""
        return open_slide(self.path, backend=self.backend, mpp=self.mpp)

    def read(self, slide: Slide, index: int) -> NDArray[np.uint8]:
        """Read one tile (size size 3)."""
        grid = self.grid
        return self._normalised(slide.read(grid.x[index], grid.y[index], grid.size, grid.size, grid.mpp))

    def stream(self, slide: Slide, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield index and pixels of the tiles from `start` up to, but not including, `stop`."""
        grid, part = self.grid, slice(start, stop)
        for index, tile in iter_tiles(slide, replace(grid, x=grid.x[part], y=grid.y[part], tissue=grid.tissue[part])):
            yield start + index, self._normalised(tile)

    def _normalised(self, tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return tile if self.stain is None else normalise(tile, self.stain)


class SlideTileDataset(Dataset[Item]):
    """Tiles of several slides by index, for shuffled loading.

    An item holds `image` (3 H W, uint8, or float32 in 0..1), `slide` (path), `x0` and `y0` (level 0 pixels), `index`
    (in this data set) and, if the slides have labels, `present` and `known` (C, bool).

    Examples:
        >>> loader = DataLoader(SlideTileDataset(slides), 32, shuffle=True, num_workers=4)  # doctest: +SKIP
    """

    def __init__(
        self,
        slides: Sequence[TiledSlide],
        *,
        as_float: bool = False,
        transform: Callable[[Item], Any] | None = None,
        max_open: int = 16,
    ) -> None:
        self.slides = list(slides)
        self.as_float = as_float
        self.transform = transform
        self.starts = _starts(self.slides)
        self.open_slides = SlideCache(max_open)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Item:
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} tiles, not {index}")
        index %= len(self)
        slide_index = int(np.searchsorted(self.starts, index, side="right")) - 1
        tiled, tile_index = self.slides[slide_index], index - int(self.starts[slide_index])
        pixels = tiled.read(self.open_slides(*tiled.key), tile_index)
        item = _item(tiled, tile_index, pixels, as_float=self.as_float)
        item["index"] = index
        return item if self.transform is None else self.transform(item)


class SlideTileStream(IterableDataset[Item]):
    """The items of `SlideTileDataset` slide by slide and row by row, decoding every compressed tile about once.

    Chunks of some rows are divided among the workers of a loader and, with `shard`, among several processes. Every tile
    comes exactly once.

    Args:
        slides: Slides and their tiles.
        as_float: Whether images are float32 in 0..1 rather than uint8.
        transform: Applied to each item.
        shard: Part of the chunks to read; parts are counted from 1, so process `rank` of `world` reads
            `Shard(rank + 1, world)`.
        rows: Rows of tiles per chunk. Compressed tiles on the border of two chunks are decoded twice.
    """

    def __init__(
        self,
        slides: Sequence[TiledSlide],
        *,
        as_float: bool = False,
        transform: Callable[[Item], Any] | None = None,
        shard: Shard = ALL,
        rows: int = 16,
    ) -> None:
        self.slides = list(slides)
        self.as_float = as_float
        self.transform = transform
        self.shard = shard
        self.rows = rows
        self.starts = _starts(self.slides)

    def __len__(self) -> int:
        """Return tiles of this shard, over all workers."""
        return sum(stop - start for _, start, stop in self.shard.take(self._chunks()))

    def __iter__(self) -> Iterator[Item]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        open_slides = SlideCache(max_open=1)
        for slide_index, start, stop in self.shard.take(self._chunks())[worker::workers]:
            tiled = self.slides[slide_index]
            for tile_index, tile in tiled.stream(open_slides(*tiled.key), start, stop):
                item = _item(tiled, tile_index, tile, as_float=self.as_float)
                item["index"] = int(self.starts[slide_index]) + tile_index
                yield item if self.transform is None else self.transform(item)
        open_slides.close()

    def _chunks(self) -> list[tuple[int, int, int]]:
        """Return the slide index, first tile and stop tile of every chunk."""
        return list(chain.from_iterable(_row_chunks(i, tiled.grid, self.rows) for i, tiled in enumerate(self.slides)))


def _row_chunks(slide_index: int, grid: TileGrid, rows: int) -> Iterator[tuple[int, int, int]]:
    first_of_rows = np.flatnonzero(np.diff(grid.y, prepend=grid.y[:1] - 1))
    starts = [*first_of_rows[::rows].tolist(), len(grid)]
    for start, stop in pairwise(starts):
        yield slide_index, start, stop


def _starts(slides: Sequence[TiledSlide]) -> NDArray[np.int64]:
    return np.cumsum([0, *(len(slide) for slide in slides)])


def _item(tiled: TiledSlide, index: int, tile: NDArray[np.uint8], *, as_float: bool) -> Item:
    pixels = np.array(tile.transpose(2, 0, 1), order="C")  # a copy, because the tensor keeps its memory
    image = torch.from_numpy(pixels)
    item: Item = {
        "image": image.float().div_(255) if as_float else image,
        "slide": tiled.path,
        "x0": int(tiled.grid.x[index]),
        "y0": int(tiled.grid.y[index]),
    }
    if tiled.present is not None:
        item["present"] = torch.from_numpy(tiled.present[index].copy())
        item["known"] = torch.ones_like(item["present"])
        if tiled.known is not None:
            item["known"] = torch.from_numpy(tiled.known[index].copy())
    return item
