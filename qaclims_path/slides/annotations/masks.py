"""Annotated regions drawn as class masks, tile by tile, on the very pixels that are read."""

import numpy as np
import shapely
from numpy.typing import NDArray

from qaclims_path.compute.coverage import covered_area
from qaclims_path.slides.annotations.regions import SlideRegions, rings

EQUAL = 1e-6  # shares are sums of floats
HALF = 0.5 - EQUAL
Polygons = NDArray[np.object_]


def draw_regions(
    regions: SlideRegions, x: float, y: float, width0: float, height0: float, size: int
) -> NDArray[np.uint8]:
    """Codes of the regions in a tile (size, size): k + 1 for class k, 0 where nothing is drawn.

    A pixel counts as drawn where regions cover at least half of it. It gets the class that covers most of it; where
    classes cover equally much, because one is drawn upon the other, that with the least area on the slide.

    Args:
        regions: Of the slide.
        x: Left edge of what the tile shows, in level 0 pixels; all four as `region.extent` gives them.
        y: Top edge, in level 0 pixels.
        width0: Width of what it shows, in level 0 pixels.
        height0: Height of what it shows, in level 0 pixels.
        size: Width and height of the tile in its own pixels.

    Example:
        >>> left = SlideRegions(("tumor",), (shapely.box(0, 0, 3, 8),))
        >>> draw_regions(left, 0, 0, 8, 8, 4)[0].tolist()
        [1, 1, 0, 0]
    """
    tile = shapely.box(x, y, x + width0, y + height0)
    xs, ys = np.linspace(x, x + width0, size + 1), np.linspace(y, y + height0, size + 1)
    polygons, classes, tree = regions.polygons
    near = tree.query(tile, predicate="intersects")
    codes = np.zeros((size, size), np.uint8)
    most, total = np.zeros((2, size, size))
    pieces = []
    for k in (k for k in regions.smallest_first if k in classes[near]):
        pieces.append(_cut(polygons[near[classes[near] == k]], tile))
        share = _shares(pieces[-1], xs, ys)
        codes[share > most + EQUAL] = k + 1
        np.maximum(most, share, out=most)
        total += share
    if ((total >= HALF) & (most < HALF)).any():  # several classes meet at the edge; where they overlap counts once
        total = _shares(shapely.get_parts(shapely.union_all(np.concatenate(pieces))), xs, ys)
    codes[total < HALF] = 0
    return codes


def _cut(polygons: Polygons, tile: shapely.Polygon) -> Polygons:
    """The polygons that are left inside a tile.

    `clip_by_rect` would be quicker, but leaves out whole corners where those of an outline lie on the tile's edge.
    """
    if shapely.covers(polygons, tile).any():
        return np.array([tile])
    parts = shapely.get_parts(shapely.get_parts(shapely.intersection(polygons, tile)))
    areas: Polygons = parts[shapely.get_dimensions(parts) == 2]
    return areas


def _shares(polygons: Polygons, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of every pixel that polygons, which do not overlap, cover."""
    shares: NDArray[np.float64] = covered_area(rings(polygons), xs, ys) / ((xs[1] - xs[0]) * (ys[1] - ys[0]))
    return shares
