"""One level of a tiled TIFF: the offsets of its compressed tiles, and how to decode one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile
from qaclims_path.slides.geometry import Pixels
from qaclims_path.slides.readers.registry import UnsupportedFormat

RAW, LZW, JPEG, DEFLATE, OLD_DEFLATE, JPEG_2000 = 1, 5, 7, 8, 32946, (33003, 33005)
RGB, YCBCR = 2, 6
Window = tuple[slice, slice]  # rows, columns
MAX_TILE_PIXELS = 8192 * 8192  # scanners use sides of 240 to 4096


@dataclass(frozen=True)
class TiledLevel:
    """A level and its tiles, which are counted row by row.

    Attributes:
        width: Width of the level in pixels.
        height: Height of the level in pixels.
        tile: Width and height of a tile in pixels.
        columns: Number of tiles per row.
        rows: Number of rows of tiles.
        offsets: First byte of each tile in the file.
        counts: Number of bytes of each tile; 0 if it was not scanned.
        decode: Decodes the bytes of a tile into an array (height width 3).
    """

    width: int
    height: int
    tile: tuple[int, int]
    columns: int
    rows: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    decode: Callable[[bytes, Pixels], None]

    def covering(self, x: int, y: int, width: int, height: int) -> list[int]:
        """Return indices of the tiles that overlap a region inside the level."""
        across = range(x // self.tile[0], (x + width - 1) // self.tile[0] + 1)
        down = range(y // self.tile[1], (y + height - 1) // self.tile[1] + 1)
        return [row * self.columns + column for row in down for column in across]

    def pieces(self, x: int, y: int, width: int, height: int) -> Iterator[tuple[int, Window, Window]]:
        """Yield the tiles that overlap a region: index, window in the tile, and the same window in the region."""
        across = list(_overlaps(x, width, self.tile[0]))
        for row, tile_rows, rows in _overlaps(y, height, self.tile[1]):
            for column, tile_columns, columns in across:
                yield row * self.columns + column, (tile_rows, tile_columns), (rows, columns)

    def corner(self, tile: int) -> tuple[int, int]:
        """Left and top edge of a tile in pixels."""
        row, column = divmod(tile, self.columns)
        return column * self.tile[0], row * self.tile[1]


def level_of(page: Any, path: str, file_size: int) -> TiledLevel:  # noqa: ANN401 - a tifffile page carries no types
    """Describe a tiled page.

    Raises:
        UnsupportedFormat: Its pixels are stored in a way that is left to OpenSlide.
        BadFile: It is cut off, or declares more tiles than the file can hold.
    """
    _refuse_any(
        {
            "its pixels are not in tiles": not page.is_tiled,
            "it has more than one plane": page.imagedepth != 1 or page.tiledepth != 1 or page.planarconfig != 1,
        }
    )
    width, height, tile = page.imagewidth, page.imagelength, (page.tilewidth, page.tilelength)
    if min(width, height, *tile) < 1 or tile[0] * tile[1] > MAX_TILE_PIXELS:
        raise BadFile(f"{path} is damaged: it declares {width} x {height} pixels in tiles of {tile[0]} x {tile[1]}.")
    columns, rows = -(-width // tile[0]), -(-height // tile[1])
    # the table of tiles takes at least six bytes per tile
    if columns * rows * 6 > file_size:
        raise BadFile(
            f"{path} declares {width} x {height} pixels in {columns * rows} tiles, more than a file of {file_size} "
            "bytes can list. It is damaged or cut off: copy it again."
        )
    offsets, counts = np.array(page.dataoffsets, np.int64), np.array(page.databytecounts, np.int64)
    if len(offsets) != columns * rows or len(counts) != columns * rows:
        raise BadFile(f"{path} is damaged: it lists {len(offsets)} of its {columns * rows} tiles. Copy it again.")
    if (end := int((offsets + counts)[counts > 0].max(initial=0))) > file_size:
        raise BadFile(f"{path} is cut off: it has {file_size} bytes and needs {end}. Copy it again.")
    _refuse_any(_differences(page))
    return TiledLevel(width, height, tile, columns, rows, offsets, counts, decoder_of(page))


def decoder_of(page: Any) -> Callable[[bytes, Pixels], None]:  # noqa: ANN401 - as above
    """Return the function that decodes the bytes of a tile of this page, exactly as libtiff and OpenSlide do."""
    import imagecodecs

    shape, size = (page.tilelength, page.tilewidth, 3), page.tilelength * page.tilewidth * 3

    def jpeg(data: bytes, out: Pixels) -> None:
        imagecodecs.jpeg8_decode(data, tables=tables, colorspace=colours, outcolorspace="RGB", out=out)

    def packed(data: bytes, out: Pixels) -> None:
        values = np.frombuffer(unpack(data), np.uint8)
        pixels = values[:size].reshape(shape)
        out[:] = imagecodecs.delta_decode(pixels, axis=1) if differences else pixels

    if page.compression == JPEG:
        # the tag decides, not the markers in the tile, because Aperio stores RGB without a marker
        colours, tables = {RGB: "RGB", YCBCR: "YCBCR"}[int(page.photometric)], page.jpegtables
        return jpeg
    differences = page.predictor == 2
    unpack: Callable[[bytes], bytes | bytearray] = {
        RAW: bytes,
        LZW: lambda data: imagecodecs.lzw_decode(data, out=size),
        DEFLATE: lambda data: imagecodecs.zlib_decode(data, out=size),
        OLD_DEFLATE: lambda data: imagecodecs.zlib_decode(data, out=size),
    }[int(page.compression)]
    return packed


def _overlaps(start: int, length: int, tile: int) -> Iterator[tuple[int, slice, slice]]:
    """Along one axis, yield the tiles that overlap a span: index, slice of the tile, and slice of the span."""
    for index in range(start // tile, (start + length - 1) // tile + 1):
        first, last = max(start, index * tile), min(start + length, (index + 1) * tile)
        yield index, slice(first - index * tile, last - index * tile), slice(first - start, last - start)


def _differences(page: Any) -> dict[str, bool]:  # noqa: ANN401 - as above
    """Conditions under which our pixels would differ from OpenSlide's, and whether the page meets them."""
    compression = int(page.compression)
    colours = (RGB, YCBCR) if compression == JPEG else (RGB,)
    known = (RAW, LZW, JPEG, DEFLATE, OLD_DEFLATE, *JPEG_2000)
    return {
        "JPEG 2000 is left to OpenSlide": compression in JPEG_2000,
        f"compression {compression} is left to others": compression not in known,
        "its pixels are not 8-bit RGB": page.dtype != np.uint8
        or page.samplesperpixel != 3
        or int(page.photometric) not in colours,
        "its bits, predictor or orientation are unusual": page.fillorder != 1
        or page.predictor not in (1, 2)
        or page.tags.valueof(274, 1) != 1,
    }


def _refuse_any(conditions: dict[str, bool]) -> None:
    for condition, met in conditions.items():
        if met:
            raise UnsupportedFormat(condition)
