"""Where a slide holds tissue: from its own pixels, from a file, or everywhere."""

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

PER_TILE = 3  # pixels of the mask along a tile, at least
LARGEST = 8192  # side in pixels up to which a level is looked at as it is
SHRUNK = 4096  # longer side of what a larger level is shrunk to, where tiles allow
BAND = 16_000_000  # pixels read at a time
BLUR_MPP = 2.0  # coarser pixels look sharp whatever the focus was
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
REGION_SUFFIXES = (".geojson", ".json", ".gz")


@dataclass(frozen=True)
class TissueOptions:
    """How tissue is told from glass.

    Attributes:
        threshold: Chroma (largest minus smallest of red, green, blue) above which a pixel is tissue; None finds it.
        specks: Tissue of less area than this is dropped, um2.
        holes: Gaps of less area than this are filled, um2.
        pens: Whether to leave out marks of blue, green and black pens.
        blur: Whether to leave out tissue that is out of focus.
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
    """Tissue of a slide, from its upper left corner.

    Attributes:
        mask: H W, bool.
        scale: Level 0 pixels per pixel of the mask (x, y).
        note: A sentence for the summary where something is odd, else empty.
    """

    mask: NDArray[np.bool_]
    scale: tuple[float, float]
    note: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is no tissue at all."""
        return not self.mask.any()

    def shares(self, xs: NDArray[np.int64], ys: NDArray[np.int64], width0: int, height0: int) -> NDArray[np.float64]:
        """Share of tissue in the tiles (len(ys) len(xs)) of a lattice of left and top edges in level 0 pixels.

        Of tiles that stick out of the slide, the part inside counts.
        """
        table = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1), np.int32)
        inner = table[1:, 1:]
        np.cumsum(np.cumsum(self.mask, axis=0, out=inner), axis=1, out=inner)
        left, right = (np.clip(edge / self.scale[0], 0, self.mask.shape[1]) for edge in (xs, xs + width0))
        top, bottom = (np.clip(edge / self.scale[1], 0, self.mask.shape[0]) for edge in (ys, ys + height0))
        rows = (_at(table, bottom) - _at(table, top)).T
        tissue = (_at(rows, right) - _at(rows, left)).T
        area = (bottom - top)[:, None] * (right - left)
        shares: NDArray[np.float64] = np.divide(tissue, area, out=np.zeros_like(tissue), where=area > 0)
        return shares


def tissue_mask(
    slide: Slide, mode: str = "otsu", *, tile_um: float = 112.0, options: TissueOptions | None = None
) -> TissueMask:
    """Find the tissue of a slide.

    Args:
        slide: With a known pixel size.
        mode: `otsu` looks at the colours; `none` takes everything; else a mask (PNG or TIFF, tissue above 0, the whole
            slide at any size), a GeoJSON, or a folder where one of these is named like the slide.
        tile_um: Side of the tiles to be cut, in um: the mask is at least `PER_TILE` times finer.
        options: For `otsu`.

    Example:
        >>> tissue_mask(slide, tile_um=0.5 * 224).mask.mean()  # doctest: +SKIP
        np.float64(0.41)
    """
    info = slide.info
    finest = max(1.0, min(tile_um / mpp for mpp in slide.mpp) / PER_TILE)
    if mode == "none":
        return TissueMask(np.ones((1, 1), np.bool_), (info.width, info.height))
    if mode == "otsu":
        return _by_colour(slide, finest, options or TissueOptions())
    path = _file_for(Path(mode), Path(info.path))
    found = _from_regions(path, slide, finest) if path.suffix in REGION_SUFFIXES else _from_picture(path, slide)
    return _noted(found, f"{path.name} marks no tissue on {Path(info.path).name}.")


def overview(slide: Slide, finest: float) -> tuple[NDArray[np.uint8], float]:
    """The whole slide (H W 3), and the level 0 pixels per pixel of it, at most `finest` of them.

    The coarsest level that is fine enough is taken as it is, unless it is larger than anybody needs.
    """
    level = slide.info.levels[best_level(slide.info.levels, (finest, finest))]
    as_it_is = max(level.width, level.height) <= LARGEST
    step = level.downsample if as_it_is else min(finest, max(slide.info.width, slide.info.height) / SHRUNK)
    width, height = (max(1, math.ceil(side / step - 0.5)) for side in (slide.info.width, slide.info.height))
    picture = np.empty((height, width, 3), np.uint8)
    for top, bottom in _bands(height, round(BAND * (level.downsample / step) ** 2 / width)):
        picture[top:bottom] = slide.read_by_step(0, top * step, (width, bottom - top), (step, step))
    return picture, step


def _by_colour(slide: Slide, finest: float, options: TissueOptions) -> TissueMask:
    from qaclims_path.compute.tissue import ink_mask, tissue_mask_of

    picture, step = overview(slide, finest)
    pixel = step * math.sqrt(slide.mpp[0] * slide.mpp[1])  # um
    specks, holes = options.specks / pixel**2, options.holes / pixel**2
    mask = tissue_mask_of(picture, threshold=options.threshold, specks=specks, holes=holes)
    if options.pens:
        mask &= ~ink_mask(picture, specks=100 / pixel**2, reach=math.ceil(20 / pixel))  # um2, um
    if options.blur:
        mask &= ~_blurred(slide, mask, step)
    hint = "Look at the slide; --tissue none takes all of it, and --tissue FILE a mask of your own"
    return _noted(TissueMask(mask, (step, step)), f"No tissue found on {Path(slide.info.path).name}. {hint}.")


def _blurred(slide: Slide, mask: NDArray[np.bool_], step: float) -> NDArray[np.bool_]:
    """Where tissue is out of focus, on the pixels of the mask; looked at in bands of finer pixels."""
    from qaclims_path.compute.tissue import BLUR_WINDOW, blur_mask

    fine = max(1.0, BLUR_MPP / max(slide.mpp))
    width = max(1, round(slide.info.width / fine))
    columns = np.minimum(((np.arange(mask.shape[1]) + 0.5) * step / fine).astype(int), width - 1)
    blurred = np.zeros_like(mask)
    for top, bottom in _bands(mask.shape[0], round(BAND / 4 * fine / step / width)):
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
    """Refuse a tissue mask that is not there, before anything is begun."""
    if tissue not in ("otsu", "none") and not Path(tissue).exists():
        raise BadFile(f"There is no tissue mask {tissue}. Say otsu, none, or a mask (PNG, TIFF, GeoJSON) that exists.")


def _file_for(place: Path, slide: Path) -> Path:
    """The file itself, or the one in a folder that is named like the slide."""
    if place.is_dir():
        names = [
            place / f"{stem}{suffix}"
            for suffix in (*REGION_SUFFIXES[:2], ".geojson.gz", *MASK_SUFFIXES)
            for stem in (slide.stem, slide.name)
        ]
        found = next((name for name in names if name.is_file()), None)
        if found is None:
            raise BadFile(f"{place} holds no mask or GeoJSON named {slide.stem}.")
        return found
    check_tissue(str(place))
    if place.suffix.lower() not in (*MASK_SUFFIXES, *REGION_SUFFIXES):
        raise BadFile(f"{place} is no mask that can be read; it should be PNG, TIFF or GeoJSON.")
    return place


def _from_picture(path: Path, slide: Slide) -> TissueMask:
    from qaclims_path.files.images import read_mask

    mask, info = read_mask(path) > 0, slide.info
    scale = info.width / mask.shape[1], info.height / mask.shape[0]
    apart = abs(scale[0] / scale[1] - 1) * min(mask.shape)
    if apart > 2:
        raise BadFile(
            f"{path} has {mask.shape[1]} x {mask.shape[0]} pixels, which is not the shape of {Path(info.path).name} "
            f"({info.width} x {info.height}). A mask shows the whole slide at any size."
        )
    return TissueMask(mask, scale)


def _from_regions(path: Path, slide: Slide, finest: float) -> TissueMask:
    from qaclims_path.compute.coverage import covered_area
    from qaclims_path.slides.annotations.regions import read_roi, rings

    step = max(finest / 2, max(slide.info.width, slide.info.height) / LARGEST)
    regions = read_roi(path, slide.info)
    xs, ys = (np.arange(0.0, math.ceil(s / step) + 1) * step for s in (slide.info.width, slide.info.height))
    area = covered_area(rings(regions.shapes[0]), xs, ys)
    return TissueMask(area >= 0.5 * step * step, (step, step), " ".join(regions.notes))


def _noted(found: TissueMask, sentence: str) -> TissueMask:
    """Say so where nothing was found."""
    return TissueMask(found.mask, found.scale, f"{found.note} {sentence}".strip()) if found.empty else found


def _at(table: NDArray[Any], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of a table at fractional places, between the two nearest."""
    row = np.minimum(place.astype(np.intp), len(table) - 2)
    share = (place - row)[:, None]
    rows: NDArray[np.float64] = table[row] * (1 - share) + table[row + 1] * share
    return rows
