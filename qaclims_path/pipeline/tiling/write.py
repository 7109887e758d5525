"""Write the tiles of a slide and their masks, each into a folder that appears when it is complete."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.files.ahead import ahead
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.images import write_mask
from qaclims_path.types import TileGrid

SUFFIX = {"jpeg": "jpg", "png": "png", "webp": "webp"}
QUALITY = 90
EVERY = 32  # tiles between two progress reports
Pixels = NDArray[np.uint8]
Numbered = Iterable[tuple[int, Pixels]]
Tell = Callable[[int, int], None]  # number of tiles done, and of all


def write_tiles(folder: Path, tiles: Numbered, grid: TileGrid, kind: str, *, threads: int, tell: Tell) -> None:
    """Write tiles (H W 3, with their numbers in the grid) as `jpeg`, `png` or `webp`."""

    def save(stem: Path, pixels: Pixels) -> None:
        stem.with_suffix(f".{SUFFIX[kind]}").write_bytes(encoded(pixels, kind))

    _write_all(folder, tiles, grid, save, threads=threads, tell=tell)


def write_masks(folder: Path, masks: Numbered, grid: TileGrid, palette: list[int], *, threads: int, tell: Tell) -> None:
    """Write masks (H W codes, with their numbers in the grid) as PNG with a flat RGB palette."""

    def save(stem: Path, codes: Pixels) -> None:
        write_mask(stem.with_suffix(".png"), codes, palette)

    _write_all(folder, masks, grid, save, threads=threads, tell=tell)


def _write_all(
    folder: Path,
    pictures: Numbered,
    grid: TileGrid,
    save: Callable[[Path, Pixels], None],
    *,
    threads: int,
    tell: Tell,
) -> None:
    """Write all pictures of a slide, named by their position, into a new folder; an older one is removed."""
    shutil.rmtree(folder, ignore_errors=True)

    def work(numbered: tuple[int, Pixels]) -> int:
        number, pixels = numbered
        save(temporary / f"{grid.x[number]}_{grid.y[number]}", pixels)
        return number

    with atomic_path(folder) as temporary:
        temporary.mkdir()
        for number in ahead(work, pictures, threads=threads):
            if number % EVERY == 0:
                tell(number, len(grid))


def encoded(tile: NDArray[np.uint8], kind: str) -> bytes:
    """Encode a tile: as JPEG of quality 90 with full colour resolution, PNG, or WebP of quality 90."""
    import imagecodecs

    if kind == "jpeg":
        return bytes(
            imagecodecs.jpeg8_encode(
                tile, level=QUALITY, colorspace="rgb", outcolorspace="ycbcr", subsampling="444", optimize=False
            )
        )
    if kind == "png":
        return bytes(imagecodecs.png_encode(tile, level=3))
    return bytes(imagecodecs.webp_encode(tile, level=QUALITY, lossless=False))
