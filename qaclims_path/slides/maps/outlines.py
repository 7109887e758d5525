"""Areas of a class map as valid polygons in level 0 pixels, with their exact areas."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaclims_path.compute.polygons import Rings, corners_to_keep, fixed_too, trace
from qaclims_path.errors import UsageError

Geometries = NDArray[np.object_]


@dataclass(frozen=True)
class Outline:
    """One connected area.

    Attributes:
        code: Its class.
        polygon: A valid shapely polygon in level 0 pixels; the outer ring has a positive area, holes a negative one.
        area_um2: Square micrometres as counted in the map, before simplification.
    """

    code: int
    polygon: Any
    area_um2: float


def outlines(
    codes: NDArray[np.uint8],
    wanted: Collection[int],
    *,
    mpp: float,
    scale: tuple[float, float] = (1.0, 1.0),
    tolerance_um: float = 1.0,
    min_area_um2: float = 100.0,
) -> list[Outline]:
    """Outline the areas of some codes.

    Pixels that share only a corner belong to different areas. No point of an outline moves by more than the tolerance
    (and a hundredth of a level 0 pixel, to which coordinates are rounded); neighbours move together. Areas and holes
    that enclose less than the minimum are left out and filled.

    Args:
        codes: H W class map.
        wanted: Codes to outline, below 255.
        mpp: Pixel size of the map in micrometres.
        scale: Level 0 pixels per pixel of the map (x, y).
        tolerance_um: How far an outline may move.
        min_area_um2: Areas and holes below are dropped.

    Example:
        >>> [found] = outlines(np.ones((3, 2), np.uint8), [1], mpp=0.5, scale=(4.0, 4.0), min_area_um2=0)
        >>> found.polygon.wkt, found.area_um2
        ('POLYGON ((8 0, 8 12, 0 12, 0 0, 8 0))', 1.5)
    """
    if not (tolerance_um >= 0 and min_area_um2 >= 0 and mpp > 0):
        raise UsageError(
            f"Outlines cannot be drawn with a tolerance of {tolerance_um} um, a least area of {min_area_um2} um2 and "
            f"pixels of {mpp} um: none of them may be negative, and the pixel size is above zero."
        )
    rings = trace(codes, wanted)
    rings = rings.chosen(np.abs(rings.areas) * mpp**2 >= min_area_um2)
    if not len(rings.codes):
        return []
    order, members = _grouped(rings)
    while True:
        keep = corners_to_keep(rings, tolerance_um / mpp)
        polygons, wrong = _polygons(rings.thinned(keep), order, members, scale)
        if not wrong.any() or keep[wrong[members[rings.owner]]].all():
            break
        lost = _left_out(rings, keep, members, wrong)
        rings = fixed_too(rings, lost if lost.any() else wrong[members[rings.owner]])
    areas = np.bincount(members, weights=rings.areas) * mpp**2
    shells = rings.codes[order[np.flatnonzero(np.diff(members[order], prepend=-1))]]
    return [Outline(int(c), p, float(a)) for c, p, a in zip(shells, polygons, areas, strict=True)]


def _grouped(rings: Rings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rings sorted by polygon, the outer one first; and the polygon that each ring belongs to."""
    outer = rings.areas > 0
    members = np.full(len(outer), -1, np.int64)
    members[outer] = np.arange(outer.sum())
    for code in np.unique(rings.codes[~outer]):
        holes = np.flatnonzero(~outer & (rings.codes == code))
        members[holes] = members[_parents(rings, np.flatnonzero(outer & (rings.codes == code)), holes)]
    return np.lexsort((~outer, members)), members


def _parents(rings: Rings, shells: NDArray[np.int64], holes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The outer ring of each hole: the smallest one around the hole's first pixel in reading order."""
    import shapely

    corners = [rings.corners[rings.starts[i] : rings.starts[i + 1]] for i in holes]
    first = np.array([ring[np.lexsort((ring[:, 0], ring[:, 1]))[0]] for ring in corners])
    inside = shapely.STRtree(shapely.points(first + 0.5))
    by_size = shells[np.argsort(-rings.areas[shells], kind="stable")]
    around, hole = inside.query(shapely.polygons(_lines(rings, (1.0, 1.0))[by_size]), predicate="contains")
    parents = np.empty(len(holes), np.int64)
    order = np.argsort(around, kind="stable")  # the smallest last, and the last one stays
    parents[hole[order]] = by_size[around[order]]
    return parents


def _polygons(
    rings: Rings, order: NDArray[np.int64], members: NDArray[np.int64], scale: tuple[float, float]
) -> tuple[Geometries, NDArray[np.bool_]]:
    """Polygons in level 0 pixels, and which of them are not valid."""
    import shapely

    degenerate = np.diff(rings.starts) < 3
    polygons = shapely.polygons(_lines(rings, scale)[order], indices=members[order])
    wrong = ~shapely.is_valid(polygons)
    wrong[members[degenerate]] = True
    return polygons, wrong


def _left_out(
    rings: Rings, keep: NDArray[np.bool_], members: NDArray[np.int64], wrong: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The corners (of all, not only the kept) whose absence lets the sides of a wrong polygon cross or coincide."""
    import shapely

    simple = rings.thinned(keep)
    owner = simple.owner
    candidates = np.flatnonzero(wrong[members[owner]])
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
    """For every corner the side that it lay on or began: the last kept corner of its ring up to it, going around."""
    side = np.cumsum(keep) - 1
    owner = rings.owner
    around = side < simple.starts[owner]
    side[around] = simple.starts[owner[around] + 1] - 1
    return side


def _lines(rings: Rings, scale: tuple[float, float]) -> Geometries:
    """Every ring as a closed line; one with fewer than three corners stands in as a point of no size."""
    import shapely

    sizes = np.diff(rings.starts)
    closing = np.repeat(rings.starts[:-1], np.maximum(4 - sizes, 1))
    numbers = np.concatenate([np.arange(len(rings.corners)), closing])
    owner = np.concatenate([rings.owner, np.repeat(np.arange(len(sizes)), np.maximum(4 - sizes, 1))])
    in_order = np.argsort(owner, kind="stable")
    points = np.round(rings.corners[numbers[in_order]] * np.array(scale), 2)
    lines: Geometries = shapely.linearrings(points, indices=owner[in_order])
    return lines
