"""Maps as tiled, pyramidal OME-TIFF: uint8, deflate, class colours as the palette; equal maps give equal bytes."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile

TILE = 512
BIG = 2**31  # pixels from which a classic TIFF might not do
MAKER = "qaclims_path"
Rows = Callable[[int], Iterable[NDArray[np.uint8]]]  # level -> pieces of TILE rows, from top to bottom


@dataclass(frozen=True)
class Label:
    """One code of a class map: its number, its name and how it is drawn (red, green, blue)."""

    code: int
    name: str
    color: tuple[int, int, int]


def level_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Width and height of every level: halved, rounded up, until one tile holds it.

    Example:
        >>> level_sizes(1501, 700)
        [(1501, 700), (751, 350), (376, 175)]
    """
    sizes = [(width, height)]
    while max(sizes[-1]) > TILE and len(sizes) < TILE.bit_length():
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def write_map(
    path: Path, size: tuple[int, int], mpp: float, rows: Rows, *, labels: Sequence[Label] = (), title: str = ""
) -> None:
    """Write a map that is never in memory as a whole; `path` should end in `.ome.tiff`.

    Args:
        path: Written in place: the caller renames.
        size: Width and height in pixels.
        mpp: Pixel size in micrometres.
        rows: Gives the rows of a level (`level_sizes`), `TILE` at a time.
        labels: Names and colours of the codes; without them the map is grey.
        title: Name of the image inside the file.
    """
    import tifffile

    options = _palette(labels) if labels else {"photometric": "minisblack"}
    options |= {"tile": (TILE, TILE), "compression": "deflate", "dtype": np.uint8, "software": MAKER}
    sizes = level_sizes(*size)
    with tifffile.TiffWriter(path, bigtiff=size[0] * size[1] > BIG, ome=True) as tiff:
        for level, (width, height) in enumerate(sizes):
            first = {"metadata": _ome(title, size, mpp, labels), "subifds": len(sizes) - 1}
            per_cm = 10_000 / (mpp * 2**level)
            tiff.write(
                _tiles(rows(level)),
                shape=(height, width),
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                **options,
                **({"subfiletype": 1} if level else first),
            )


def read_map(path: Path, max_pixels: int) -> tuple[NDArray[np.uint8], int]:
    """The finest level of a written map with no more than `max_pixels`, and its step (pixels of the map per pixel)."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            levels = tiff.series[0].levels
            number = next((i for i, level in enumerate(levels) if level.size <= max_pixels), len(levels) - 1)
            codes: NDArray[np.uint8] = levels[number].asarray()
            return codes, 2**number
    except FileNotFoundError as error:
        raise BadFile(f"{path} does not exist.") from error
    except Exception as error:  # tifffile and its codecs raise anything on damaged files
        raise BadFile(f"{path} is not a class map that can be read: {error}.") from error


def _tiles(rows: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Whole tiles in row order; those at the far edges are filled up by repeating the edge."""
    for piece in rows:
        missing = -piece.shape[0] % TILE, -piece.shape[1] % TILE
        whole = np.pad(piece, ((0, missing[0]), (0, missing[1])), mode="edge")
        for left in range(0, whole.shape[1], TILE):
            yield np.ascontiguousarray(whole[:, left : left + TILE])


def _palette(labels: Sequence[Label]) -> dict[str, Any]:
    colors = np.full((3, 256), 65535, np.uint16)
    for label in labels:
        colors[:, label.code] = np.array(label.color, np.uint16) * 257
    return {"photometric": "palette", "colormap": colors}


def _ome(title: str, size: tuple[int, int], mpp: float, labels: Sequence[Label]) -> dict[str, Any]:
    """What goes into the OME-XML; the identity is made from the content, not from the clock."""
    names = {str(label.code): label.name for label in labels}
    about = {
        "axes": "YX",
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{MAKER} {title} {size} {mpp} {names}")),
        "Creator": MAKER,
        "Name": title,
        "PhysicalSizeX": mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": mpp,
        "PhysicalSizeYUnit": "µm",
    }
    return about | ({"MapAnnotation": names} if names else {})
