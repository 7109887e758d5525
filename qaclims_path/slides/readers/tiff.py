"""Read tiled TIFF, SVS and OME-TIFF directly: find every compressed tile by its offset and decode it.

Pixels equal those of OpenSlide for JPEG, deflate, LZW and raw tiles. If the downsample of a level is not an integer,
OpenSlide interpolates; this reader returns the stored pixels.
"""

import threading
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from qaclims_path.errors import BadFile
from qaclims_path.slides.geometry import LevelRegion, Pixels, clip, read_padded
from qaclims_path.slides.readers.registry import SLIDE_READERS
from qaclims_path.slides.readers.tiff_pages import TiffContents, contents_of, picture_of
from qaclims_path.slides.readers.tiff_store import RECENT_BYTES, Decode, DecodingAhead, Key, TileStore


class TiffBackend:
    """An open tiled TIFF; recently decoded tiles are cached for overlapping regions."""

    def __init__(self, contents: TiffContents) -> None:
        self.info = contents.info
        self._levels = contents.levels
        self._pictures = contents.pictures
        self._file = Path(self.info.path).open("rb", buffering=0)  # noqa: SIM115 - close() closes it
        weakref.finalize(self, self._file.close)  # closes the file even without close(), as OpenSlide does
        self._lock = threading.Lock()
        self._recent = TileStore(limit=RECENT_BYTES)

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """Read a region of a level (H W 3)."""
        return self._read(LevelRegion(level, x, y, width, height), self._recent, self._decode)

    def stream(self, regions: Sequence[LevelRegion], threads: int = 1) -> Iterator[Pixels]:
        """Yield regions in order and decode every compressed tile once; tiles outside all regions are not decoded.

        Args:
            regions: Parts of levels.
            threads: Threads that decode tiles ahead; with one, the thread that asks decodes them.
        """
        uses = Counter(key for region in regions for key in self._tiles_of(region))
        with closing(DecodingAhead(self._decode, uses, threads)) as decoded:
            store, decode = TileStore(uses), self._decode if threads == 1 else decoded
            for region in regions:
                yield self._read(region, store, decode)

    def associated(self, name: str) -> Pixels:
        """Read the label, macro or thumbnail picture."""
        return picture_of(self.info.path, self._pictures[name])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _tiles_of(self, region: LevelRegion) -> list[Key]:
        part = clip(self.info.levels[region.level], region.x, region.y, region.width, region.height)
        if not (part[2] and part[3]):
            return []
        return [(region.level, tile) for tile in self._levels[region.level].covering(*part)]

    def _read(self, region: LevelRegion, store: TileStore, decode: Decode) -> Pixels:
        level = self.info.levels[region.level]
        return read_padded(partial(self._cut, store, decode, region.level), level, region, self.info.background)

    def _cut(self, store: TileStore, decode: Decode, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        tiled = self._levels[level]
        pieces = list(tiled.pieces(x, y, width, height))
        if len(pieces) == 1 and (width, height) == tiled.tile:
            pixels, last_use = store.take((level, pieces[0][0]), decode)
            return pixels if last_use else pixels.copy()
        out = np.empty((height, width, 3), np.uint8)
        for tile, tile_window, region_window in pieces:
            pixels, last_use = store.take((level, tile), decode)
            out[region_window] = pixels[tile_window]
            if last_use:
                store.recycle(pixels)
        return out

    def _decode(self, key: Key, spare: Pixels | None) -> Pixels:
        level, tile = key
        tiled = self._levels[level]
        shape = (tiled.tile[1], tiled.tile[0], 3)
        pixels = spare if spare is not None and spare.shape == shape else np.empty(shape, np.uint8)
        count = int(tiled.counts[tile])
        if not count:
            pixels[:] = self.info.background
            return pixels
        try:
            with self._lock:
                self._file.seek(int(tiled.offsets[tile]))
                data = self._file.read(count)
            if len(data) < count:
                raise BadFile(f"{self.info.path} is cut off: a tile ends after the end of the file. Copy it again.")
            tiled.decode(data, pixels)
        except OSError as error:
            raise BadFile(f"{self.info.path} cannot be read any more: {error.strerror or error}.") from error
        except (RuntimeError, ValueError) as error:
            x, y = tiled.corner(tile)
            raise BadFile(
                f"{self.info.path} is damaged at pixel {x}, {y} of level {level}: {error}. Copy it again."
            ) from error
        return pixels


@SLIDE_READERS.add("tiff")
def open_tiff(path: str) -> TiffBackend:
    """Open a tiled TIFF, SVS or OME-TIFF."""
    try:
        return TiffBackend(contents_of(path))
    except OSError as error:
        raise BadFile(f"{path} cannot be opened: {error.strerror or error}.") from error
