"""Tissue masks of slides: from the slide's colours, from a file, or everywhere."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.slides.geometry import best_level
from qaclims_path.slides.reader import Slide

MIN_PIXELS_PER_TILE = 3  # side of a tile in mask pixels
MAX_LEVEL_SIDE = 8192  # pixels; a larger level is shrunk
SHRUNK_SIDE = 4096  # longer side of a shrunk level in pixels, if MIN_PIXELS_PER_TILE allows
BAND_PIXELS = 16_000_000  # read at a time
BLUR_MPP = 2.0  # coarser pixels look sharp even if the slide is out of focus
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
REGION_SUFFIXES = (".geojson", ".json", ".gz")


@dataclass(frozen=True)
class TissueOptions:
    """Options of separating tissue from glass.

    Attributes:
        threshold: Chroma (largest minus smallest of red, green, blue) above which a pixel is tissue; None means Otsu's.
        specks: Smallest area of tissue that is kept, um2.
        holes: Smallest area of a hole that is not filled, um2.
        pens: Whether to exclude marks of blue, green and black pens.
        blur: Whether to exclude tissue that is out of focus.
    """

    threshold: int | None = None
    specks: float = 4000.0
    holes: float = 1000.0  # less than a fat cell
    pens: bool = False
    blur: bool = False

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold < 255:
            raise UsageError(f"A tissue threshold of {self.threshold} is not possible; it is from 0 to 254.")


@dataclass(frozen=True)
class TissueMask:
    """The tissue of a whole slide.

    Attributes:
        mask: H W, bool; its upper left corner is that of the slide.
        scale: Level 0 pixels per pixel of the mask (x, y).
        note: A sentence for the summary if something is odd, else empty.
    """

    mask: NDArray[np.bool_]
    scale: tuple[float, float]
    note: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is no tissue."""
        return not self.mask.any()

    def shares(self, xs: NDArray[np.int64], ys: NDArray[np.int64], width0: int, height0: int) -> NDArray[np.float64]:
        """Measure the share of tissue in every tile of a lattice (len(ys) len(xs)), 0..1.

        Of a tile that extends beyond the slide, only the part inside counts.

        Args:
            xs: Left edges in level 0 pixels.
            ys: Top edges in level 0 pixels.
            width0: Width of a tile in level 0 pixels.
            height0: Height of a tile in level 0 pixels.
        """
        integral = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1), np.int32)
        inner = integral[1:, 1:]
        np.cumsum(np.cumsum(self.mask, axis=0, out=inner), axis=1, out=inner)
        left, right = (np.clip(edge / self.scale[0], 0, self.mask.shape[1]) for edge in (xs, xs + width0))
        top, bottom = (np.clip(edge / self.scale[1], 0, self.mask.shape[0]) for edge in (ys, ys + height0))
        rows = (_interpolated_rows(integral, bottom) - _interpolated_rows(integral, top)).T
        tissue = (_interpolated_rows(rows, right) - _interpolated_rows(rows, left)).T
        area = (bottom - top)[:, None] * (right - left)
        shares: NDArray[np.float64] = np.divide(tissue, area, out=np.zeros_like(tissue), where=area > 0)
        return shares


def tissue_mask(
    slide: Slide, mode: str = "otsu", *, tile_um: float = 112.0, options: TissueOptions | None = None
) -> TissueMask:
    """Find the tissue of a slide.

    Args:
        slide: An open slide with a known pixel size.
        mode: `otsu` thresholds the colours; `none` takes everything; else the path of a mask (PNG or TIFF of the whole
            slide at any size, tissue above 0), of a GeoJSON, or of a folder with one of these named like the slide.
        tile_um: Side of the tiles in um; a tile is at least `MIN_PIXELS_PER_TILE` mask pixels wide.
        options: Options of `otsu`.

    Examples:
        >>> tissue_mask(slide, tile_um=0.5 * 224).mask.mean()  # doctest: +SKIP
        np.float64(0.41)
    """
    info = slide.info
    max_step = max(1.0, min(tile_um / mpp for mpp in slide.mpp) / MIN_PIXELS_PER_TILE)
    if mode == "none":
        return TissueMask(np.ones((1, 1), np.bool_), (info.width, info.height))
    if mode == "otsu":
        return _from_colours(slide, max_step, options or TissueOptions())
    path = _mask_file(Path(mode), Path(info.path))
    mask = _from_regions(path, slide, max_step) if path.suffix in REGION_SUFFIXES else _from_picture(path, slide)
    return _noted_if_empty(mask, f"{path.name} marks no tissue on {Path(info.path).name}.")


def overview(slide: Slide, max_step: float) -> tuple[NDArray[np.uint8], float]:
    """Read the whole slide (H W 3) at no more than `max_step` level 0 pixels per pixel, and return that number too.

    Takes the coarsest level that is fine enough without resampling, unless it is larger than `MAX_LEVEL_SIDE`.
    """
    level = slide.info.levels[best_level(slide.info.levels, (max_step, max_step))]
    unchanged = max(level.width, level.height) <= MAX_LEVEL_SIDE
    step = level.downsample if unchanged else min(max_step, max(slide.info.width, slide.info.height) / SHRUNK_SIDE)
    width, height = (max(1, math.ceil(side / step - 0.5)) for side in (slide.info.width, slide.info.height))
    picture = np.empty((height, width, 3), np.uint8)
    for top, bottom in _bands(height, round(BAND_PIXELS * (level.downsample / step) ** 2 / width)):
        picture[top:bottom] = slide.read_by_step(0, top * step, (width, bottom - top), (step, step))
    return picture, step


def _from_colours(slide: Slide, max_step: float, options: TissueOptions) -> TissueMask:
    from qaclims_path.compute.tissue import ink_mask, tissue_mask_of

    picture, step = overview(slide, max_step)
    pixel = step * math.sqrt(slide.mpp[0] * slide.mpp[1])  # um
    specks, holes = options.specks / pixel**2, options.holes / pixel**2
    mask = tissue_mask_of(picture, threshold=options.threshold, specks=specks, holes=holes)
    if options.pens:
        mask &= ~ink_mask(picture, specks=100 / pixel**2, reach=math.ceil(20 / pixel))  # um2, um
    if options.blur:
        mask &= ~_blurred(slide, mask, step)
    hint = "Look at the slide; --tissue none takes all of it, and --tissue FILE a mask of your own"
    return _noted_if_empty(TissueMask(mask, (step, step)), f"No tissue found on {Path(slide.info.path).name}. {hint}.")


def _blurred(slide: Slide, mask: NDArray[np.bool_], step: float) -> NDArray[np.bool_]:
    """Find out-of-focus tissue at the size of the mask (H W), reading finer pixels band by band."""
    from qaclims_path.compute.tissue import BLUR_WINDOW, blur_mask

    fine = max(1.0, BLUR_MPP / max(slide.mpp))
    width = max(1, round(slide.info.width / fine))
    columns = np.minimum(((np.arange(mask.shape[1]) + 0.5) * step / fine).astype(int), width - 1)
    blurred = np.zeros_like(mask)
    for top, bottom in _bands(mask.shape[0], round(BAND_PIXELS / 4 * fine / step / width)):
        if not mask[top:bottom].any():
            continue
        first = math.floor(top * step / fine) - BLUR_WINDOW
        count = math.ceil(bottom * step / fine) + BLUR_WINDOW - first
        band = slide.read_by_step(0, first * fine, (width, count), (fine, fine))
        rows = ((np.arange(top, bottom) + 0.5) * step / fine).astype(int) - first
        blurred[top:bottom] = blur_mask(band)[np.ix_(rows, columns)]
    return blurred


def _bands(height: int, rows: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, max(1, rows)):
        yield top, min(top + max(1, rows), height)


def check_tissue(tissue: str) -> None:
    """Refuse a tissue mask that does not exist, before any work starts."""
    if tissue not in ("otsu", "none") and not Path(tissue).exists():
        raise BadFile(f"There is no tissue mask {tissue}. Give otsu, none, or a mask (PNG, TIFF, GeoJSON) that exists.")


def _mask_file(path: Path, slide: Path) -> Path:
    """Return the file itself, or the file in the folder that is named like the slide."""
    if path.is_dir():
        candidates = [
            path / f"{stem}{suffix}"
            for suffix in (*REGION_SUFFIXES[:2], ".geojson.gz", *MASK_SUFFIXES)
            for stem in (slide.stem, slide.name)
        ]
        file = next((candidate for candidate in candidates if candidate.is_file()), None)
        if file is None:
            raise BadFile(f"{path} holds no mask or GeoJSON named {slide.stem}.")
        return file
    check_tissue(str(path))
    if path.suffix.lower() not in (*MASK_SUFFIXES, *REGION_SUFFIXES):
        raise BadFile(f"{path} is not a tissue mask; it must be PNG, TIFF or GeoJSON.")
    return path


def _from_picture(path: Path, slide: Slide) -> TissueMask:
    from qaclims_path.files.images import read_mask

    mask, info = read_mask(path) > 0, slide.info
    scale = info.width / mask.shape[1], info.height / mask.shape[0]
    distortion = abs(scale[0] / scale[1] - 1) * min(mask.shape)  # pixels of the mask
    if distortion > 2:
        raise BadFile(
            f"{path} has {mask.shape[1]} x {mask.shape[0]} pixels, which is not the aspect ratio of "
            f"{Path(info.path).name} ({info.width} x {info.height}). A mask must show the whole slide, at any size."
        )
    return TissueMask(mask, scale)


def _from_regions(path: Path, slide: Slide, max_step: float) -> TissueMask:
    from qaclims_path.compute.coverage import covered_area
    from qaclims_path.slides.annotations.regions import read_roi, rings

    step = max(max_step / 2, max(slide.info.width, slide.info.height) / MAX_LEVEL_SIDE)
    regions = read_roi(path, slide.info)
    xs, ys = (np.arange(0.0, math.ceil(s / step) + 1) * step for s in (slide.info.width, slide.info.height))
    area = covered_area(rings(regions.shapes[0]), xs, ys)
    return TissueMask(area >= 0.5 * step * step, (step, step), " ".join(regions.notes))


def _noted_if_empty(mask: TissueMask, sentence: str) -> TissueMask:
    """Add a sentence to the note of an empty mask."""
    return TissueMask(mask.mask, mask.scale, f"{mask.note} {sentence}".strip()) if mask.empty else mask


def _interpolated_rows(table: NDArray[Any], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows of a table at fractional positions, by linear interpolation."""
    row = np.minimum(positions.astype(np.intp), len(table) - 2)
    fraction = (positions - row)[:, None]
    rows: NDArray[np.float64] = table[row] * (1 - fraction) + table[row + 1] * fraction
    return rows
