"""Exact areas of polygons in cells, against shapely's intersections."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.compute.coverage import covered_area


def parts(shape):
    for polygon in shapely.get_parts(shape):
        yield (
            shapely.get_coordinates(polygon.exterior),
            [shapely.get_coordinates(hole) for hole in polygon.interiors],
        )


def slow(shape, xs, ys):
    cells = shapely.box(xs[None, :-1], ys[:-1, None], xs[None, 1:], ys[1:, None])
    return shapely.area(shapely.intersection(cells, shape))


@settings(max_examples=80)
@given(st.integers(0, 10_000), st.integers(3, 30), st.booleans(), st.booleans())
def test_equal_to_intersecting_every_cell(seed, points, whole, holed):
    rng = np.random.default_rng(seed)
    shape = shapely.make_valid(shapely.Polygon(np.round(rng.random((points, 2)) * 100 - 10, 0 if whole else 6)))
    if holed:
        shape = shape.union(shapely.box(20, 20, 60, 50)).difference(shapely.Point(40, 30).buffer(9))
    shape = shapely.MultiPolygon([p for p in shapely.get_parts(shapely.get_parts(shape)) if p.geom_type == "Polygon"])
    xs, ys = (np.unique(np.round(rng.random(n) * 80, 0 if whole else 6)) for n in (15, 9))
    assert np.allclose(covered_area(parts(shape), xs, ys), slow(shape, xs, ys), atol=1e-8)


def test_the_direction_of_rings_does_not_matter():
    square = np.array([[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]], float)
    hole = np.array([[2, 2], [3, 2], [3, 3], [2, 3], [2, 2]], float)
    lines = np.array([0.0, 6.0])
    for outer in (square, square[::-1].copy()):
        for inner in (hole, hole[::-1].copy()):
            assert covered_area([(outer, [inner])], lines, lines).item() == 15


def test_polygons_outside_the_lattice_cover_nothing():
    square = np.array([[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]], float)
    for shift in ((100, 0), (-100, 0), (0, 100), (0, -100)):
        assert covered_area([(square + shift, [])], np.arange(7.0), np.arange(7.0)).sum() == 0
