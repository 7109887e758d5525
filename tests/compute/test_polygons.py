import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from qaclims_path.compute.polygons import corners_to_keep, trace, with_fixed
from qaclims_path.errors import UsageError

MAPS = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


def blobs(shape, classes, sigma, seed=0):
    rng = np.random.default_rng(seed)
    return (
        np.stack([gaussian_filter(rng.standard_normal(shape), sigma) for _ in range(classes)])
        .argmax(0)
        .astype(np.uint8)
    )


def filled(rings, code, shape):
    """The pixels inside the rings of a code: the sum over rings of whether a ray to the left crosses them."""
    inside = np.zeros(shape, int)
    for ring in np.flatnonzero(rings.codes == code):
        corners = rings.corners[rings.starts[ring] : rings.starts[ring + 1]]
        for (x, y), (_, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            inside[min(y, y2) : max(y, y2), x:] += np.sign(y - y2)
    return inside


@settings(max_examples=300)
@given(MAPS)
def test_filling_the_rings_gives_the_map_back(codes):
    rings = trace(codes, [0, 1, 2])
    for code in (0, 1, 2):
        assert np.array_equal(filled(rings, code, codes.shape), codes == code)
        assert rings.areas[rings.codes == code].sum() == (codes == code).sum()
    assert 3 not in rings.codes


@settings(max_examples=300)
@given(MAPS)
def test_no_ring_passes_a_corner_twice_and_every_corner_is_a_turn_or_a_meeting_point(codes):
    rings = trace(codes, [0, 1, 2, 3])
    ahead = rings.corners[rings.following] - rings.corners
    assert (np.count_nonzero(ahead, axis=1) == 1).all()
    for ring in range(len(rings.codes)):
        part = slice(rings.starts[ring], rings.starts[ring + 1])
        corners = rings.corners[part]
        assert len(np.unique(corners, axis=0)) == len(corners) >= 4
        turns = (np.sign(ahead[part]) != np.sign(np.roll(ahead[part], 1, axis=0))).any(1)
        assert (turns | rings.fixed[part]).all()
        assert shapely.Polygon(corners).is_valid


def test_pixels_that_share_a_corner_are_two_areas():
    rings = trace(np.eye(2, dtype=np.uint8), [1])
    assert rings.areas.tolist() == [1, 1]
    assert rings.fixed.sum() == 2


def test_a_hole_that_touches_the_outside_at_a_corner_is_a_hole():
    codes = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 0]], np.uint8)
    assert trace(codes, [0]).areas.tolist() == [8, -1]


def test_neighbours_keep_the_same_corners_on_their_common_border():
    codes = blobs((200, 170), 4, 5)
    rings = trace(codes, [0, 1, 2, 3])
    for tolerance in (0.5, 1.5, 4.0):
        simple = rings.keep(corners_to_keep(rings, tolerance))
        sides = np.concatenate([simple.corners, simple.corners[simple.following]], axis=1)
        back = set(map(tuple, sides[:, [2, 3, 0, 1]].tolist()))
        height, width = codes.shape
        for x, y, x2, y2 in sides.tolist():
            at_edge = (x in (0, width) or y in (0, height)) and (x2 in (0, width) or y2 in (0, height))
            assert at_edge or (x, y, x2, y2) in back
        assert len(simple.corners) < len(rings.corners)


@pytest.mark.parametrize("tolerance", [0.4, 1.0, 3.0])
def test_no_corner_moves_farther_than_the_tolerance(tolerance):
    rings = trace(blobs((150, 150), 3, 4, seed=1), [0, 1, 2])
    simple = rings.keep(corners_to_keep(rings, tolerance))
    for ring in range(len(rings.codes)):
        kept = simple.corners[simple.starts[ring] : simple.starts[ring + 1]]
        line = shapely.LineString([*kept, kept[0]])
        corners = rings.corners[rings.starts[ring] : rings.starts[ring + 1]]
        assert shapely.distance(shapely.points(corners.astype(float)), line).max() <= tolerance + 1e-9


def test_corners_fixed_later_stay_in_all_rings_that_pass_them():
    rings = trace(blobs((60, 60), 2, 4), [0, 1])
    chosen = rings.codes[rings.owner] == 0
    again = with_fixed(rings, chosen)
    keep = corners_to_keep(again, 50.0)
    assert keep[chosen].all()
    inner = ~np.isin(rings.corners, (0, 60)).any(1)
    assert keep[inner].all()  # with two classes every inner corner belongs to both


def test_a_map_without_wanted_codes_has_no_rings():
    rings = trace(np.zeros((3, 4), np.uint8), [1])
    assert len(rings.codes) == len(rings.corners) == 0
    assert len(corners_to_keep(rings, 1.0)) == 0


def test_the_code_for_no_class_cannot_be_outlined():
    with pytest.raises(UsageError, match="codes are 0 to 254"):
        trace(np.zeros((2, 2), np.uint8), [255])
