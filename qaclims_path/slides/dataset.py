"""Tiles of slides for torch: any tile by number, or all of them streamed row by row.

Slides are opened when a worker first needs them and stay open; nothing open travels to a worker.
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
from qaclims_path.errors import UsageError
from qaclims_path.slides.handles import Key, OpenSlides
from qaclims_path.slides.reader import Slide, open_slide
from qaclims_path.slides.streaming import iter_tiles
from qaclims_path.types import TileGrid

Item = dict[str, Any]


@dataclass(frozen=True, eq=False)
class TiledSlide:
    """A slide by name, and what to cut from it. Iterating opens it and streams its tiles (size size 3, uint8) in order.

    Attributes:
        path: Of the slide.
        grid: Its tiles.
        backend: Name of the reader.
        mpp: Pixel size of level 0 in um (x, y) where it is not that of the file.
        stain: What its tiles are normalised by, if at all.
        present: N C, bool: the labels of its tiles, where there are any.
    """

    path: str
    grid: TileGrid
    backend: str = "auto"
    mpp: tuple[float, float] | None = None
    stain: StainFit | None = None
    present: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.grid)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        with self.open() as slide:
            for _, tile in self.stream(slide, 0, len(self)):
                yield tile

    @classmethod
    def of(cls, slide: Slide, grid: TileGrid) -> "TiledSlide":
        """The tiles of an open slide, to be opened in the same way again."""
        return cls(slide.info.path, grid, slide.info.backend, slide.info.mpp)

    @property
    def key(self) -> Key:
        """Path, reader and pixel size: what the slide is opened with."""
        return self.path, self.backend, self.mpp

    def open(self) -> Slide:
        """Open the slide."""
        return open_slide(self.path, backend=self.backend, mpp=self.mpp)

    def read(self, slide: Slide, number: int) -> NDArray[np.uint8]:
        """One tile (size size 3)."""
        grid = self.grid
        return self._stained(slide.read(grid.x[number], grid.y[number], grid.size, grid.size, grid.mpp))

    def stream(self, slide: Slide, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Numbers and tiles from `start` to before `stop`."""
        grid, part = self.grid, slice(start, stop)
        for number, tile in iter_tiles(slide, replace(grid, x=grid.x[part], y=grid.y[part], tissue=grid.tissue[part])):
            yield start + number, self._stained(tile)

    def _stained(self, tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return tile if self.stain is None else normalise(tile, self.stain)


class SlideTileDataset(Dataset[Item]):
    """The tiles of some slides by number, for shuffled loading.

    A tile is `image` (3 H W, uint8, or float32 in 0..1), `slide` (path), `x0` and `y0` (level 0 pixels), `index` (its
    number here) and, where the slides have labels, `present` (C, bool).

    Example:
        >>> loader = DataLoader(SlideTileDataset(slides), 32, shuffle=True, num_workers=4)  # doctest: +SKIP
    """

    def __init__(
        self,
        slides: Sequence[TiledSlide],
        *,
        as_float: bool = False,
        transform: Callable[[Item], Any] | None = None,
        most_open: int = 16,
    ) -> None:
        self.slides = list(slides)
        self.as_float = as_float
        self.transform = transform
        self.starts = _starts(self.slides)
        self.handles = OpenSlides(most_open)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Item:
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} tiles, not {index}")
        index %= len(self)
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        tiled, number = self.slides[which], index - int(self.starts[which])
        item = _item(tiled, number, tiled.read(self.handles(*tiled.key), number), as_float=self.as_float)
        item["index"] = index
        return item if self.transform is None else self.transform(item)


class SlideTileStream(IterableDataset[Item]):
    """The same items in order of slides and rows, every compressed tile of a slide decoded about once.

    The work is dealt out in pieces of some rows to the workers of a loader and, with `shard`, to several machines or
    devices: nothing comes twice and nothing is left out.

    Args:
        slides: What to read.
        as_float: Whether images are float32 in 0..1 rather than uint8.
        transform: Applied to each item.
        shard: Which part of how many this process takes, counted from 0.
        rows: Of tiles in a piece; what two pieces share is decoded twice.
    """

    def __init__(
        self,
        slides: Sequence[TiledSlide],
        *,
        as_float: bool = False,
        transform: Callable[[Item], Any] | None = None,
        shard: tuple[int, int] = (0, 1),
        rows: int = 16,
    ) -> None:
        if not 0 <= shard[0] < shard[1]:
            raise UsageError(f"There is no part {shard[0]} of {shard[1]}; parts are counted from 0.")
        self.slides = list(slides)
        self.as_float = as_float
        self.transform = transform
        self.shard = shard
        self.rows = rows
        self.starts = _starts(self.slides)

    def __len__(self) -> int:
        """Tiles of this shard, by all workers together."""
        return sum(stop - start for _, start, stop in self._pieces()[self.shard[0] :: self.shard[1]])

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        mine, of = (0, 1) if worker is None else (worker.id, worker.num_workers)
        handles = OpenSlides(most=1)
        for which, start, stop in self._pieces()[self.shard[0] :: self.shard[1]][mine::of]:
            tiled = self.slides[which]
            for number, tile in tiled.stream(handles(*tiled.key), start, stop):
                item = _item(tiled, number, tile, as_float=self.as_float)
                item["index"] = int(self.starts[which]) + number
                yield item if self.transform is None else self.transform(item)
        handles.close()

    def _pieces(self) -> list[tuple[int, int, int]]:
        """Slide, first tile and tile after the last of every piece."""
        return list(chain.from_iterable(_cut(which, tiled.grid, self.rows) for which, tiled in enumerate(self.slides)))


def _cut(which: int, grid: TileGrid, rows: int) -> Iterator[tuple[int, int, int]]:
    first = np.flatnonzero(np.diff(grid.y, prepend=grid.y[:1] - 1))  # tile of every row
    starts = [*first[::rows].tolist(), len(grid)]
    for start, stop in pairwise(starts):
        yield which, start, stop


def _starts(slides: Sequence[TiledSlide]) -> NDArray[np.int64]:
    return np.cumsum([0, *(len(slide) for slide in slides)])


def _item(tiled: TiledSlide, number: int, tile: NDArray[np.uint8], *, as_float: bool) -> Item:
    pixels = np.array(tile.transpose(2, 0, 1), order="C")  # tensors need memory of their own
    image = torch.from_numpy(pixels)
    item: Item = {
        "image": image.float().div_(255) if as_float else image,
        "slide": tiled.path,
        "x0": int(tiled.grid.x[number]),
        "y0": int(tiled.grid.y[number]),
    }
    if tiled.present is not None:
        item["present"] = torch.from_numpy(tiled.present[number].copy())
    return item
