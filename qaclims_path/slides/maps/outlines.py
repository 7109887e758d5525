"""Outline the connected areas of a class map as valid polygons in level 0 pixels, with their exact areas."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.polygons import Rings, corners_to_keep, trace, with_fixed
from qaclims_path.errors import UsageError

Geometries = NDArray[np.object_]


@dataclass(frozen=True)
class Outline:
    """One connected area.

    Attributes:
        code: Class code.
        polygon: A valid shapely polygon in level 0 pixels; the outer ring has a positive area, holes a negative one.
        area_um2: Area in square micrometres, counted in the map before simplification.
    """

    code: int
    polygon: Any
    area_um2: float


def outlines(
    codes: NDArray[np.uint8],
    outlined: Collection[int],
    *,
    mpp: float,
    scale: tuple[float, float] = (1.0, 1.0),
    tolerance_um: float = 1.0,
    min_area_um2: float = 100.0,
) -> list[Outline]:
    """Outline the areas of some codes.

    Pixels that share only a corner belong to different areas. Simplification moves no point of an outline by more than
    the tolerance, and the common border of two areas moves together. Coordinates are rounded to hundredths of a level 0
    pixel.

    Args:
        codes: H W class map.
        outlined: Codes to outline, below 255.
        mpp: Pixel size of the map in micrometres.
        scale: Level 0 pixels per pixel of the map (x, y).
        tolerance_um: Largest distance that simplification may move an outline.
        min_area_um2: Smaller areas are left out, and smaller holes filled.

    Examples:
        >>> [area] = outlines(np.ones((3, 2), np.uint8), [1], mpp=0.5, scale=(4.0, 4.0), min_area_um2=0)
        >>> area.polygon.wkt, area.area_um2
        ('POLYGON ((8 0, 8 12, 0 12, 0 0, 8 0))', 1.5)
    """
    if not (tolerance_um >= 0 and min_area_um2 >= 0 and mpp > 0):
        raise UsageError(
            f"Outlines cannot be drawn with a tolerance of {tolerance_um} um, a smallest area of {min_area_um2} um2 "
            f"and pixels of {mpp} um: none of them may be negative, and the pixel size must be above zero."
        )
    rings = trace(codes, outlined)
    rings = rings.select(np.abs(rings.areas) * mpp**2 >= min_area_um2)
    if not len(rings.codes):
        return []
    order, members = _grouped(rings)
    while True:
        keep = corners_to_keep(rings, tolerance_um / mpp)
        polygons, invalid = _polygons(rings.keep(keep), order, members, scale)
        if not invalid.any() or keep[invalid[members[rings.owner]]].all():
            break
        # keep the corners whose removal made a polygon invalid, and try again
        removed = _harmful_removals(rings, keep, members, invalid)
        rings = with_fixed(rings, removed if removed.any() else invalid[members[rings.owner]])
    areas = np.bincount(members, weights=rings.areas) * mpp**2
    shells = rings.codes[order[np.flatnonzero(np.diff(members[order], prepend=-1))]]
    return [Outline(int(c), p, float(a)) for c, p, a in zip(shells, polygons, areas, strict=True)]


def _grouped(rings: Rings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of the rings by polygon, outer ring first; and the polygon index of each ring."""
    outer = rings.areas > 0
    members = np.full(len(outer), -1, np.int64)
    members[outer] = np.arange(outer.sum())
    for code in np.unique(rings.codes[~outer]):
        holes = np.flatnonzero(~outer & (rings.codes == code))
        members[holes] = members[_parents(rings, np.flatnonzero(outer & (rings.codes == code)), holes)]
    return np.lexsort((~outer, members)), members


def _parents(rings: Rings, shells: NDArray[np.int64], holes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the outer ring of each hole: the smallest ring around the hole's first pixel in reading order."""
    import shapely

    corners = [rings.corners[rings.starts[i] : rings.starts[i + 1]] for i in holes]
    first = np.array([ring[np.lexsort((ring[:, 0], ring[:, 1]))[0]] for ring in corners])
    inside = shapely.STRtree(shapely.points(first + 0.5))
    by_size = shells[np.argsort(-rings.areas[shells], kind="stable")]
    around, hole = inside.query(shapely.polygons(_lines(rings, (1.0, 1.0))[by_size]), predicate="contains")
    parents = np.empty(len(holes), np.int64)
    order = np.argsort(around, kind="stable")  # largest first, so that the smallest ring overwrites the others
    parents[hole[order]] = by_size[around[order]]
    return parents


def _polygons(
    rings: Rings, order: NDArray[np.int64], members: NDArray[np.int64], scale: tuple[float, float]
) -> tuple[Geometries, NDArray[np.bool_]]:
    """Polygons in level 0 pixels, and which of them are invalid: some ring crosses, or is empty or inside out."""
    import shapely

    lines = _lines(rings, scale)
    polygons = shapely.polygons(lines[order], indices=members[order])
    invalid = ~shapely.is_valid(polygons)
    inside_out = shapely.is_ccw(lines) != (rings.areas > 0)
    invalid[members[inside_out | (np.diff(rings.starts) < 3)]] = True
    return polygons, invalid


def _harmful_removals(
    rings: Rings, keep: NDArray[np.bool_], members: NDArray[np.int64], invalid: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Mark the removed corners on those sides of invalid polygons that cross or coincide with another side."""
    import shapely

    simple = rings.keep(keep)
    owner = simple.owner
    candidates = np.flatnonzero(invalid[members[owner]])
    ends = np.stack([simple.corners, simple.corners[simple.following]], axis=1)[candidates]
    sides = shapely.linestrings(ends.astype(float))
    one, other = shapely.STRtree(sides).query(sides, predicate="intersects")
    pairs = (one < other) & (members[owner[candidates[one]]] == members[owner[candidates[other]]])
    one, other = one[pairs], other[pairs]
    joined = (ends[one][:, :, None] == ends[other][:, None]).all(-1).any((1, 2))
    bad = ~joined
    bad[joined] = shapely.length(shapely.intersection(sides[one[joined]], sides[other[joined]])) > 0
    crossing = (np.diff(simple.starts) < 3)[owner]
    crossing[candidates[one[bad]]] = crossing[candidates[other[bad]]] = True
    return crossing[_side_of(rings, simple, keep)] & ~keep


def _side_of(rings: Rings, simple: Rings, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For every corner, the side that it lies on or starts: the last kept corner of its ring at or before it."""
    side = np.cumsum(keep) - 1
    owner = rings.owner
    wrapped = side < simple.starts[owner]  # before the first kept corner of the ring: on its last side
    side[wrapped] = simple.starts[owner[wrapped] + 1] - 1
    return side


def _lines(rings: Rings, scale: tuple[float, float]) -> Geometries:
    """Every ring as a closed line in level 0 pixels; a ring with fewer than three corners is padded with its first."""
    import shapely

    sizes = np.diff(rings.starts)
    closing = np.repeat(rings.starts[:-1], np.maximum(4 - sizes, 1))
    corners = np.concatenate([np.arange(len(rings.corners)), closing])
    owner = np.concatenate([rings.owner, np.repeat(np.arange(len(sizes)), np.maximum(4 - sizes, 1))])
    by_ring = np.argsort(owner, kind="stable")
    points = np.round(rings.corners[corners[by_ring]] * np.array(scale), 2)
    lines: Geometries = shapely.linearrings(points, indices=owner[by_ring])
    return lines
