"""Outlines of the areas of a map."""

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt, gaussian_filter

from qaclims_path.errors import UsageError
from qaclims_path.slides.maps.outlines import outlines

MAPS = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def blobs(shape, classes, sigma, seed=0):
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.standard_normal(shape), sigma) for _ in range(classes)]
    noise = rng.standard_normal((classes, *shape)) * 0.1 * np.std(fields)
    return (np.stack(fields) + noise).argmax(0).astype(np.uint8)


def painted(found, shape, scale=(1.0, 1.0)):
    """Return the map of the polygons that hold the centre of each pixel; 9 where none does."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    centres = shapely.points((x * scale[0]).ravel(), (y * scale[1]).ravel())
    codes = np.full(centres.shape, 9, np.uint8)
    tree = shapely.STRtree(centres)
    for area in found:
        codes[tree.query(area.polygon, predicate="contains")] = area.code
    return codes.reshape(shape)


def check(found):
    for area in found:
        polygon = area.polygon
        assert polygon.is_valid
        assert not polygon.is_empty
        assert polygon.exterior.is_ccw
        assert not any(ring.is_ccw for ring in polygon.interiors)


@settings(max_examples=200)
@given(MAPS)
def test_outlines_that_are_not_simplified_are_the_map(codes):
    found = outlines(codes, [0, 1, 2, 3], mpp=0.5, tolerance_um=0, min_area_um2=0)
    check(found)
    assert np.array_equal(painted(found, codes.shape), codes)
    for area in found:
        assert area.area_um2 == area.polygon.area * 0.25
    for code in range(4):
        measured = sum(area.area_um2 for area in found if area.code == code)
        assert measured == (codes == code).sum() * 0.25


@settings(max_examples=200)
@given(MAPS, st.floats(0, 6))
@example(np.array([[0, 2], [1, 2], [2, 2]], np.uint8), 3.0)  # simplified further, class 2 would turn inside out
def test_any_map_and_tolerance_gives_valid_polygons(codes, tolerance):
    found = outlines(codes, [0, 1, 2, 3], mpp=1.0, tolerance_um=tolerance, min_area_um2=0)
    check(found)
    assert sum(area.area_um2 for area in found) == codes.size


@pytest.mark.parametrize("tolerance", [1.0, 2.5])
def test_simplified_outlines_differ_from_the_map_only_near_borders(tolerance):
    codes = blobs((300, 260), 3, 6)
    found = outlines(codes, [0, 1, 2], mpp=0.5, scale=(4.0, 4.0), tolerance_um=tolerance * 0.5, min_area_um2=0)
    check(found)
    again = painted(found, codes.shape, (4.0, 4.0))
    for code in range(3):
        inside = codes == code
        depth = np.maximum(distance_transform_edt(inside), distance_transform_edt(~inside))
        assert depth[(again == code) != inside].max(initial=0) <= tolerance + 1
        measured = sum(area.area_um2 for area in found if area.code == code)
        assert measured == inside.sum() * 0.25
        drawn = sum(area.polygon.area for area in found if area.code == code) / 16 * 0.25
        length = sum(area.polygon.length for area in found if area.code == code) / 4 * 0.5
        assert abs(drawn - measured) <= tolerance * 0.5 * length


def test_small_areas_are_dropped_and_small_holes_filled():
    codes = np.zeros((40, 40), np.uint8)
    codes[5:35, 5:35] = 1
    codes[10:12, 10:12] = 2
    codes[20:30, 20:30] = 2
    found = outlines(codes, [1, 2], mpp=1.0, tolerance_um=0, min_area_um2=5)
    assert [(area.code, area.area_um2, len(area.polygon.interiors)) for area in found] == [(1, 800, 1), (2, 100, 0)]


def test_islands_in_holes_and_holes_in_islands_are_outlined():
    codes = np.zeros((50, 50), np.uint8)
    for depth in range(1, 11):
        codes[2 * depth : -2 * depth, 2 * depth : -2 * depth] = depth % 2
    found = outlines(codes, [0, 1], mpp=1.0, tolerance_um=0, min_area_um2=0)
    check(found)
    assert len(found) == 11
    assert sum(len(area.polygon.interiors) for area in found) == 10
    assert np.array_equal(painted(found, codes.shape), codes)


def test_coordinates_are_level_0_pixels_also_where_pixels_are_not_square():
    [found] = outlines(np.ones((3, 2), np.uint8), [1], mpp=0.5, scale=(4.0, 2.5), min_area_um2=0)
    assert found.polygon.bounds == (0, 0, 8, 7.5)
    assert found.area_um2 == 1.5


def test_a_map_without_the_class_has_no_outlines():
    assert outlines(np.zeros((9, 9), np.uint8), [1], mpp=1.0) == []


@pytest.mark.parametrize("wish", [{"tolerance_um": -1}, {"min_area_um2": -1}, {"tolerance_um": float("nan")}])
def test_negative_bounds_are_refused(wish):
    with pytest.raises(UsageError, match="negative"):
        outlines(np.zeros((9, 9), np.uint8), [0], mpp=1.0, **wish)
