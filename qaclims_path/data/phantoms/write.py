"""Write a phantom slide as files: pyramidal TIFF, truth of the same size, and QuPath regions.

Only one band is in memory uncompressed: tiles are compressed when they are painted, and coarser levels are kept
compressed until they are written.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qaclims_path.data.phantoms.painted import SOFTWARE
from qaclims_path.data.phantoms.regions import CLASS_COLORS, annotations
from qaclims_path.data.phantoms.slide import PhantomSlide, PhantomSpec
from qaclims_path.files.atomic import atomic_path, write_text
from qaclims_path.files.progress import track

TILE = 256
LEVELS = (1, 4, 16)
QUALITY = 88
MAX_CLASSIC_PIXELS = 3_000_000_000  # more may exceed the 4 GB of a classic TIFF


@dataclass(frozen=True)
class PhantomFiles:
    """Paths of the files of a slide."""

    slide: Path
    truth: Path
    regions: Path


def write_slide(folder: Path, name: str, spec: PhantomSpec) -> PhantomFiles:
    """Write `<name>.tiff`, `<name>_truth.tiff` and `<name>.geojson`; the slide appears last, when all are complete.

    Examples:
        >>> write_slide(Path("out"), "one", PhantomSpec(seed=1, width=4096, height=4096))  # doctest: +SKIP
    """
    files = PhantomFiles(folder / f"{name}.tiff", folder / f"{name}_truth.tiff", folder / f"{name}.geojson")
    painting = _Painting(PhantomSlide(spec))
    with ExitStack() as stack:
        slide = stack.enter_context(atomic_path(files.slide))
        truth = stack.enter_context(atomic_path(files.truth))
        _write_tiff(slide, spec, painting.paint(name), painting.pictures, _picture_tags())
        _write_tiff(truth, spec, iter(painting.codes[LEVELS[0]]), painting.codes, _code_tags())
        codes, step = painting.overview()
        regions = annotations(codes, step, (spec.width, spec.height))
        write_text(files.regions, json.dumps(regions, separators=(",", ":")) + "\n")
    return files


@dataclass
class _Painting:
    """Paints a slide once, from top to bottom, and keeps compressed tiles for later."""

    slide: PhantomSlide
    pictures: dict[int, list[bytes]] = field(default_factory=lambda: {level: [] for level in LEVELS})
    codes: dict[int, list[bytes]] = field(default_factory=lambda: {level: [] for level in LEVELS})
    coarse: list[NDArray[np.uint8]] = field(default_factory=list)

    def paint(self, name: str) -> Iterator[bytes]:
        """Yield the compressed tiles of the finest level, and collect those of coarser levels and of the truth."""
        spec = self.slide.spec
        unfinished: dict[int, list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]] = {
            level: [] for level in levels(spec)[1:]
        }
        for top in track(range(0, spec.height, TILE), f"painting {name}"):
            band = self.slide.read(0, top, spec.width, min(TILE, spec.height - top))
            self.codes[1] += map(_deflate, _tiles(band[1], 4))
            half = self.step // 2
            self.coarse.append(band[1][half :: self.step, half :: self.step].copy())  # a view would keep the band
            last = top + TILE >= spec.height
            smaller = band
            for level, bands in unfinished.items():
                smaller = _reduced(*smaller)
                bands.append(smaller)
                if last or len(bands) == level:
                    self._keep(level, bands)
            # yield last, because the writer stops the generator after its last tile
            yield from map(_jpeg, _tiles(band[0], 255))

    def _keep(self, level: int, bands: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> None:
        self.pictures[level] += map(_jpeg, _tiles(np.concatenate([rgb for rgb, _ in bands]), 255))
        self.codes[level] += map(_deflate, _tiles(np.concatenate([codes for _, codes in bands]), 4))
        bands.clear()

    @property
    def step(self) -> int:
        """Slide pixels per pixel of the class map for the regions: about 4 um, more on huge slides."""
        spec = self.slide.spec
        pixels = max(4.0 / spec.mpp, max(spec.width, spec.height) / 2048)
        return int(min(TILE, 2 ** np.ceil(np.log2(max(pixels, 1.0)))))

    def overview(self) -> tuple[NDArray[np.uint8], int]:
        """Return the coarse class map and its step."""
        return np.concatenate(self.coarse), self.step


def _write_tiff(
    path: Path, spec: PhantomSpec, finest: Iterator[bytes], coarser: dict[int, list[bytes]], tags: dict[str, Any]
) -> None:
    """Write one page per level, the finest first, from compressed tiles."""
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=spec.width * spec.height > MAX_CLASSIC_PIXELS) as tiff:
        for level in levels(spec):
            per_cm = 10_000.0 / (spec.mpp * level)
            height, width = spec.height // level, spec.width // level
            tiff.write(
                finest if level == 1 else iter(coarser[level]),
                shape=(height, width, 3) if tags["photometric"] == "ycbcr" else (height, width),
                dtype=np.uint8,
                tile=(TILE, TILE),
                subfiletype=0 if level == 1 else 1,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                metadata=None,
                software=SOFTWARE,
                **tags,
            )


def levels(spec: PhantomSpec) -> list[int]:
    """List the downsample factors of the pyramid; tiny slides have fewer levels."""
    return [level for level in LEVELS if level == 1 or min(spec.width, spec.height) >= 16 * level]


def _picture_tags() -> dict[str, Any]:
    return {"photometric": "ycbcr", "compression": "jpeg", "subsampling": (2, 2)}


def _code_tags() -> dict[str, Any]:
    palette = np.zeros((3, 256), np.uint16)
    palette[:, : len(CLASS_COLORS)] = np.array(CLASS_COLORS).T * 257
    return {"photometric": "palette", "compression": "adobe_deflate", "colormap": palette}


def _tiles(band: NDArray[np.uint8], padding: int) -> Iterator[NDArray[np.uint8]]:
    """Cut a band into tiles, padded beyond the edge of the slide."""
    height, width = band.shape[:2]
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            tile = np.full((TILE, TILE, *band.shape[2:]), padding, np.uint8)
            piece = band[top : top + TILE, left : left + TILE]
            tile[: piece.shape[0], : piece.shape[1]] = piece
            yield tile


def _jpeg(tile: NDArray[np.uint8]) -> bytes:
    import imagecodecs

    return bytes(
        imagecodecs.jpeg8_encode(tile, level=QUALITY, colorspace="rgb", outcolorspace="ycbcr", subsampling="420")
    )


def _deflate(tile: NDArray[np.uint8]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.zlib_encode(tile.tobytes(), level=1))


@njit(cache=True)
def _reduced(rgb: NDArray[np.uint8], codes: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Shrink by four: mean colours, and the code at the centre."""
    height, width = codes.shape[0] // 4, codes.shape[1] // 4
    small_rgb = np.empty((height, width, 3), np.uint8)
    small_codes = np.empty((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            small_codes[row, column] = codes[4 * row + 2, 4 * column + 2]
            for c in range(3):
                total = 8
                for n in range(16):
                    total += rgb[4 * row + n // 4, 4 * column + n % 4, c]
                small_rgb[row, column, c] = total // 16
    return small_rgb, small_codes
