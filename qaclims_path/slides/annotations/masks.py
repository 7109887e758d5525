"""Rasterize annotated regions as class masks of tiles."""

import numpy as np
import shapely
from numpy.typing import NDArray

from qaclims_path.slides.annotations.regions import SlideRegions, rings

EPSILON = 1e-6  # shares are sums of floats
HALF = 0.5 - EPSILON
Polygons = NDArray[np.object_]


def draw_regions(
    regions: SlideRegions, x: float, y: float, width0: float, height0: float, size: int, *, undrawn: int = 0
) -> NDArray[np.uint8]:
    """Draw the regions in a tile (size size): code k + 1 for class k, another one where less than half is covered.

    A pixel gets the class that covers most of it. If several classes cover it equally, because one is drawn over the
    other, it gets the class with the smallest area on the slide. Position and size are those of `geometry.extent`.

    Args:
        regions: Regions of the slide.
        x: Left edge of the tile in level 0 pixels.
        y: Top edge of the tile in level 0 pixels.
        width0: Width of the tile in level 0 pixels.
        height0: Height of the tile in level 0 pixels.
        size: Width and height of the tile in its own pixels.
        undrawn: Code of pixels of which no class covers half.

    Examples:
        >>> left = SlideRegions(("tumor",), (shapely.box(0, 0, 3, 8),))
        >>> draw_regions(left, 0, 0, 8, 8, 4)[0].tolist()
        [1, 1, 0, 0]
    """
    tile = shapely.box(x, y, x + width0, y + height0)
    xs, ys = np.linspace(x, x + width0, size + 1), np.linspace(y, y + height0, size + 1)
    polygons, classes, tree = regions.polygons
    touching = tree.query(tile, predicate="intersects")
    codes = np.zeros((size, size), np.uint8)
    largest, total = np.zeros((2, size, size))
    clipped = []
    for k in (k for k in regions.smallest_first if k in classes[touching]):
        clipped.append(_clip(polygons[touching[classes[touching] == k]], tile))
        share = _shares(clipped[-1], xs, ys)
        codes[share > largest + EPSILON] = k + 1
        np.maximum(largest, share, out=largest)
        total += share
    if ((total >= HALF) & (largest < HALF)).any():  # several classes share a pixel: count their overlap only once
        total = _shares(shapely.get_parts(shapely.union_all(np.concatenate(clipped))), xs, ys)
    codes[total < HALF] = undrawn
    return codes


def _clip(polygons: Polygons, tile: shapely.Polygon) -> Polygons:
    """Clip polygons to a tile.

    `clip_by_rect` would be faster, but drops whole corners if vertices of the outline lie on the edge of the tile.
    """
    if shapely.covers(polygons, tile).any():
        return np.array([tile])
    parts = shapely.get_parts(shapely.get_parts(shapely.intersection(polygons, tile)))
    areas: Polygons = parts[shapely.get_dimensions(parts) == 2]
    return areas


def _shares(polygons: Polygons, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of every pixel (rows, columns) that polygons cover; they must not overlap."""
    from qaclims_path.compute.coverage import covered_area  # compiled loops, which take a second to import

    shares: NDArray[np.float64] = covered_area(rings(polygons), xs, ys) / ((xs[1] - xs[0]) * (ys[1] - ys[0]))
    return shares
