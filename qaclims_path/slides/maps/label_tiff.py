"""Write and read maps as tiled, pyramidal OME-TIFF: uint8, deflate, class colours as palette.

Equal maps give equal bytes.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile

TILE = 512
MAX_CLASSIC_PIXELS = 2**31  # more may exceed the 4 GB of a classic TIFF
SOFTWARE = "qaclims_path"
Rows = Callable[[int], Iterable[NDArray[np.uint8]]]  # level -> arrays of TILE rows, from top to bottom


@dataclass(frozen=True)
class Label:
    """One code of a class map: number, class name and colour (red, green, blue)."""

    code: int
    name: str
    color: tuple[int, int, int]


def level_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """List width and height of every level: halved and rounded up until the level fits in one tile.

    Examples:
        >>> level_sizes(1501, 700)
        [(1501, 700), (751, 350), (376, 175)]
    """
    sizes = [(width, height)]
    while max(sizes[-1]) > TILE and len(sizes) < TILE.bit_length():
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return sizes


def write_map(
    path: Path,
    size: tuple[int, int],
    mpp: float,
    rows: Rows,
    *,
    labels: Sequence[Label] = (),
    title: str = "",
    notice: str = "",
) -> None:
    """Write a map without holding it in memory.

    Args:
        path: Temporary file, ending in `.ome.tiff`; the caller renames it when it is complete.
        size: Width and height in pixels.
        mpp: Pixel size in micrometres.
        rows: Returns the rows of a level (`level_sizes`), `TILE` at a time.
        labels: Names and colours of the codes; without labels the map is grey.
        title: Name of the image inside the file.
        notice: Description of the image inside the file, for its readers; may be empty.
    """
    import tifffile

    options = _palette(labels) if labels else {"photometric": "minisblack"}
    options |= {"tile": (TILE, TILE), "compression": "deflate", "dtype": np.uint8, "software": SOFTWARE}
    sizes, told = level_sizes(*size), {"Description": notice} if notice else {}
    with tifffile.TiffWriter(path, bigtiff=size[0] * size[1] > MAX_CLASSIC_PIXELS, ome=True) as tiff:
        for level, (width, height) in enumerate(sizes):
            full_size = {"metadata": _ome(title, size, mpp, labels) | told, "subifds": len(sizes) - 1}
            per_cm = 10_000 / (mpp * 2**level)
            tiff.write(
                _tiles(rows(level)),
                shape=(height, width),
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                **options,
                **({"subfiletype": 1} if level else full_size),
            )


def read_map(path: Path, max_pixels: int) -> tuple[NDArray[np.uint8], int]:
    """Read the finest level with at most `max_pixels` (H W codes), and return its downsample factor too."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            levels = tiff.series[0].levels
            index = next((i for i, level in enumerate(levels) if level.size <= max_pixels), len(levels) - 1)
            codes: NDArray[np.uint8] = levels[index].asarray()
            return codes, 2**index
    except FileNotFoundError as error:
        raise BadFile(f"{path} does not exist.") from error
    except Exception as error:  # tifffile and its codecs raise errors of any type on damaged files
        raise BadFile(f"{path} is not a class map that can be read: {error}.") from error


def _tiles(rows: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Yield full tiles in row order; tiles at the right and lower edge are padded by repeating the edge."""
    for row in rows:
        missing = -row.shape[0] % TILE, -row.shape[1] % TILE
        padded = np.pad(row, ((0, missing[0]), (0, missing[1])), mode="edge")
        for left in range(0, padded.shape[1], TILE):
            yield np.ascontiguousarray(padded[:, left : left + TILE])


def _palette(labels: Sequence[Label]) -> dict[str, Any]:
    colors = np.full((3, 256), 65535, np.uint16)
    for label in labels:
        colors[:, label.code] = np.array(label.color, np.uint16) * 257
    return {"photometric": "palette", "colormap": colors}


def _ome(title: str, size: tuple[int, int], mpp: float, labels: Sequence[Label]) -> dict[str, Any]:
    """Return metadata of the OME-XML; its UUID is a hash of the content, so that it does not depend on time."""
    names = {str(label.code): label.name for label in labels}
    metadata = {
        "axes": "YX",
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{SOFTWARE} {title} {size} {mpp} {names}")),
        "Creator": SOFTWARE,
        "Name": title,
        "PhysicalSizeX": mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": mpp,
        "PhysicalSizeYUnit": "µm",
    }
    return metadata | ({"MapAnnotation": names} if names else {})
