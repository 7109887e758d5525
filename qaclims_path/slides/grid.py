"""Lay a grid of tiles over a slide, without reading pixels.

Sizes and strides are in pixels of the tiles; all other lengths are in level 0 pixels. Tiles lie inside the scanned part
of the slide; with padding they may extend beyond it.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaclims_path.errors import ResolutionUnknown, UsageError
from qaclims_path.slides.annotations.regions import SlideRegions, lattice_shares
from qaclims_path.slides.tissue import TissueMask
from qaclims_path.types import SlideInfo, TileGrid

MPP_OF_1X = 10.0  # a 40x scan has 0.25 um per pixel
SAME_SCALE = 0.05  # pixel sizes that differ by less are taken as equal
MIN_RELATIVE_MPP = 0.95  # pixel size of tiles divided by the slide's; smaller ratios would invent detail
MIN_ROI = 0.5  # share of a tile that must lie in the regions of interest
MAX_TILES = 20_000_000


def mpp_of(mpp: float | None, magnification: float | None) -> float:
    """Return the requested pixel size in um, given as one or as a magnification.

    Examples:
        >>> mpp_of(None, 20)
        0.5
    """
    if (mpp is None) == (magnification is None):
        raise UsageError("Give either --mpp (micrometres per pixel) or --magnification.")
    value = MPP_OF_1X / magnification if magnification else mpp
    if value is None or not 0 < value < math.inf:
        raise UsageError("The pixel size or magnification of the tiles must be greater than 0.")
    return value


def stride_of(size: int, stride: float | None, overlap: float | None) -> float:
    """Return the distance between neighbouring tiles in their own pixels, given as a stride or as a share of overlap.

    Examples:
        >>> stride_of(224, None, 0.5)
        112
    """
    if size < 1:
        raise UsageError(f"Tiles of {size} pixels cannot be cut; --size must be at least 1.")
    if stride is not None and overlap is not None:
        raise UsageError("Give either --stride or --overlap, not both.")
    if overlap is not None and not 0 <= overlap < 1:
        raise UsageError(f"An overlap of {overlap:g} is not possible; it is a share from 0 to below 1.")
    if stride is not None and not 1 <= stride < math.inf:
        raise UsageError(f"A stride of {stride:g} pixels is not possible; it is at least 1.")
    if overlap is not None:
        return max(1, round(size * (1 - overlap)))
    return size if stride is None else stride


def make_grid(
    info: SlideInfo,
    *,
    size: int,
    mpp: float | None = None,
    magnification: float | None = None,
    stride: float | None = None,
    overlap: float | None = None,
    mask: TissueMask | None = None,
    min_tissue: float = 0.5,
    roi: SlideRegions | None = None,
    pad: bool = False,
) -> TileGrid:
    """Lay tiles over a slide and keep those on tissue.

    Args:
        info: Metadata of the slide, with its pixel size.
        size: Width and height of a tile in pixels.
        mpp: Pixel size of the tiles in um. Give this or `magnification`.
        magnification: Magnification of the tiles; 10x means 1 um.
        stride: Distance between neighbouring tiles in their own pixels; default `size`.
        overlap: Share of a tile that its neighbour repeats, instead of a stride.
        mask: Tissue mask; None means tissue everywhere.
        min_tissue: Smallest share of tissue in a tile.
        roi: Regions of interest; at least half of a tile must lie in them.
        pad: Whether tiles may extend beyond the right and lower edge, so that they cover everything.

    Examples:
        >>> len(make_grid(slide.info, size=224, mpp=0.5, mask=tissue_mask(slide)))  # doctest: +SKIP
        1234
    """
    tile_mpp, step = mpp_of(mpp, magnification), stride_of(size, stride, overlap)
    if not 0 <= min_tissue <= 1:
        raise UsageError(f"A tissue share of {min_tissue:g} is not possible; --min-tissue is from 0 to 1.")
    per_pixel = _level0_per_pixel(info, tile_mpp)
    width0, height0 = (max(1, round(size * factor)) for factor in per_pixel)
    left, top, width, height = info.bounds
    columns, rows = _count(width, width0, step * per_pixel[0], pad), _count(height, height0, step * per_pixel[1], pad)
    if columns * rows > MAX_TILES:
        raise UsageError(
            f"{Path(info.path).name} would give {columns} x {rows} tiles, more than {MAX_TILES:,}. "
            "Ask for larger tiles, a larger stride or a coarser pixel size."
        )
    xs, ys = _edges(left, columns, step * per_pixel[0]), _edges(top, rows, step * per_pixel[1])
    tissue = np.ones((rows, columns)) if mask is None else mask.shares(xs, ys, width0, height0)
    keep = tissue >= min_tissue - 1e-6  # the share is a sum of floats
    if roi is not None:
        keep &= lattice_shares(roi.shapes[0], xs, ys, width0, height0) >= MIN_ROI - 1e-9
    row, column = np.nonzero(keep)
    return TileGrid(xs[column], ys[row], width0, height0, size, tile_mpp, tissue[row, column].astype(np.float32))


def _level0_per_pixel(info: SlideInfo, mpp: float) -> tuple[float, float]:
    name = Path(info.path).name
    if info.mpp is None:
        raise ResolutionUnknown(
            f"{name} does not say its pixel size. Give it with --slide-mpp, or in the column 'mpp' of the slide list."
        )
    if mpp < MIN_RELATIVE_MPP * max(info.mpp):
        finest = max(info.mpp)
        raise UsageError(
            f"{name} has {finest:g} um per pixel, so tiles at {mpp:g} would invent detail. Ask for --mpp {finest:g} "
            f"(--magnification {MPP_OF_1X / finest:g}) or coarser, or leave the slide out."
        )
    return mpp / info.mpp[0], mpp / info.mpp[1]


def _count(length: int, tile: int, step: float, pad: bool) -> int:  # noqa: FBT001 - private
    """Count the tiles that fit along a side or, padded, that cover it."""
    if pad:
        return max(1, math.ceil((length - tile) / step - 1e-9) + 1) if length > 0 else 0
    return math.floor((length - tile) / step + 1e-9) + 1 if length >= tile else 0


def _edges(start: int, count: int, step: float) -> NDArray[np.int64]:
    edges: NDArray[np.int64] = start + np.floor(np.arange(count) * step + 1e-6).astype(np.int64)
    return edges
