"""Where the tiles of a slide lie: geometry first, no pixels.

Sizes and strides are pixels as the tiles will be read; everything else is level 0 pixels. Tiles lie in the scanned part
of the slide, whole unless padded.
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
FINER = 0.95  # asking for pixels this much smaller than the slide has is rounding; more would invent detail
ROI_SHARE = 0.5  # a tile belongs to the regions of interest when half of it does
MAX_TILES = 20_000_000


def mpp_of(mpp: float | None, magnification: float | None) -> float:
    """The pixel size that is asked for, in um, from one of two ways to say it.

    Example:
        >>> mpp_of(None, 20)
        0.5
    """
    if (mpp is None) == (magnification is None):
        raise UsageError("Say either --mpp (micrometres per pixel) or --magnification, not both or neither.")
    value = MPP_OF_1X / magnification if magnification else mpp
    if value is None or not 0 < value < math.inf:
        raise UsageError("The pixel size or magnification of the tiles must be greater than 0.")
    return value


def stride_of(size: int, stride: float | None, overlap: float | None) -> float:
    """Distance of neighbouring tiles in their own pixels, from a stride or the share by which they overlap.

    Example:
        >>> stride_of(224, None, 0.5)
        112
    """
    if size < 1:
        raise UsageError(f"Tiles of {size} pixels cannot be cut; --size must be at least 1.")
    if stride is not None and overlap is not None:
        raise UsageError("Say either --stride or --overlap, not both.")
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
        info: The slide; its pixel size must be known.
        size: Width and height of a tile in pixels.
        mpp: Pixel size of the tiles in um, or
        magnification: the same as a magnification, 10x being 1 um.
        stride: Distance of neighbouring tiles in their own pixels; `size` where neither it nor an overlap is given.
        overlap: Share of a tile that the next one repeats.
        mask: Where tissue is; None means everywhere.
        min_tissue: Least share of a tile that is tissue.
        roi: Regions of which a tile must lie half inside.
        pad: Whether tiles may stick out to the right and below, so that nothing is left uncovered.

    Example:
        >>> len(make_grid(slide.info, size=224, mpp=0.5, mask=tissue_mask(slide)))  # doctest: +SKIP
        1234
    """
    wanted, step = mpp_of(mpp, magnification), stride_of(size, stride, overlap)
    if not 0 <= min_tissue <= 1:
        raise UsageError(f"A tissue share of {min_tissue:g} is not possible; --min-tissue is from 0 to 1.")
    per_pixel = _level0_per_pixel(info, wanted)
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
        keep &= lattice_shares(roi.shapes[0], xs, ys, width0, height0) >= ROI_SHARE - 1e-9
    row, column = np.nonzero(keep)
    return TileGrid(xs[column], ys[row], width0, height0, size, wanted, tissue[row, column].astype(np.float32))


def _level0_per_pixel(info: SlideInfo, mpp: float) -> tuple[float, float]:
    name = Path(info.path).name
    if info.mpp is None:
        raise ResolutionUnknown(
            f"{name} does not say how large its pixels are. Pass it with --slide-mpp, or in the column "
            "'mpp' of the slide list."
        )
    if mpp < FINER * max(info.mpp):
        finest = max(info.mpp)
        raise UsageError(
            f"{name} has {finest:g} um per pixel, so tiles at {mpp:g} would invent detail. Ask for --mpp {finest:g} "
            f"(--magnification {MPP_OF_1X / finest:g}) or coarser, or leave the slide out."
        )
    return mpp / info.mpp[0], mpp / info.mpp[1]


def _count(length: int, tile: int, step: float, pad: bool) -> int:  # noqa: FBT001 - private
    """How many tiles fit a side; padded, how many cover it."""
    if pad:
        return max(1, math.ceil((length - tile) / step - 1e-9) + 1) if length > 0 else 0
    return math.floor((length - tile) / step + 1e-9) + 1 if length >= tile else 0


def _edges(start: int, count: int, step: float) -> NDArray[np.int64]:
    edges: NDArray[np.int64] = start + np.floor(np.arange(count) * step + 1e-6).astype(np.int64)
    return edges
