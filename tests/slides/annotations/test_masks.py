"""Drawing regions into tiles, compared with the exact areas of shapely in every pixel."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.slides.annotations.masks import draw_regions
from qaclims_path.slides.annotations.regions import SlideRegions

NOTHING = shapely.MultiPolygon()


def regions(*shapes):
    return SlideRegions(tuple("ABC"[: len(shapes)]), shapes)


def pixels_of(x, y, width0, height0, size):
    """Boxes of all pixels of a tile (size, size)."""
    xs, ys = np.linspace(x, x + width0, size + 1), np.linspace(y, y + height0, size + 1)
    return shapely.box(xs[None, :-1], ys[:-1, None], xs[None, 1:], ys[1:, None])


def slow(drawn, *tile):
    """Return codes from exact areas, and pixels where two areas differ by less than rounding."""
    pixels = pixels_of(*tile)
    area = shapely.area(pixels)
    order = list(drawn.smallest_first)
    shares = np.stack([shapely.area(shapely.intersection(drawn.shapes[k], pixels)) / area for k in order])
    together = shapely.area(shapely.intersection(shapely.union_all(drawn.shapes), pixels)) / area
    equal = shares > shares.max(axis=0) - 1e-6
    codes = np.where(together >= 0.5 - 1e-6, np.array(order)[equal.argmax(axis=0)] + 1, 0)
    behind = shares.max(axis=0) - shares
    unclear = ((behind > 1e-8) & (behind < 1e-4)).any(axis=0) | (np.abs(together - 0.5 + 1e-6) < 5e-7)
    return codes, unclear


@st.composite
def polygons(draw):
    """Draw valid areas; corners on whole numbers lie on the borders of pixels and tiles."""
    coordinate = draw(st.sampled_from([st.integers(0, 16), st.floats(0, 16, allow_subnormal=False)]))
    corners = draw(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=7))
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shapely.Polygon(corners))))
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])


@st.composite
def drawings(draw):
    """Draw areas of three classes, some with pieces cut out."""
    shapes = []
    for _ in range(3):
        shape = shapely.union_all(draw(st.lists(polygons(), max_size=3)))
        rest = shapely.get_parts(shapely.difference(shape, draw(st.one_of(st.just(NOTHING), polygons()))))
        shapes.append(shapely.union_all(rest[shapely.get_dimensions(rest) == 2]))
    return regions(*shapes)


@settings(max_examples=150)
@given(
    drawings(), st.integers(-2, 12), st.integers(-2, 12), st.sampled_from([(4, 4, 4), (8, 6, 4), (8, 8, 8), (5, 5, 3)])
)
def test_every_pixel_has_the_class_that_covers_most_of_it(drawn, x, y, sides):
    tile = (x, y, *sides)
    codes, unclear = slow(drawn, *tile)
    found = draw_regions(drawn, *tile)
    assert found.dtype == np.uint8
    assert np.array_equal(found[~unclear], codes[~unclear])


def test_pixels_that_no_edge_cuts_have_the_class_at_their_centre():
    rng = np.random.default_rng(3)
    blobs = [
        shapely.union_all([shapely.Point(*rng.uniform(0, 900, 2)).buffer(rng.uniform(20, 140)) for _ in range(12)])
        for _ in range(3)
    ]
    alone = [blobs[0], shapely.difference(blobs[1], blobs[0])]
    drawn = regions(*alone, shapely.difference(blobs[2], shapely.union_all(alone)))
    uncut = 0
    for x, y in rng.integers(0, 800, (20, 2)):
        tile = (int(x), int(y), 200, 200, 64)
        pixels, codes = pixels_of(*tile), np.zeros((64, 64), np.uint8)
        for k, shape in enumerate(drawn.shapes):
            codes[shapely.contains(shape, shapely.centroid(pixels))] = k + 1
        cut = np.any([shapely.intersects(shape.boundary, pixels) for shape in drawn.shapes], axis=0)
        assert np.array_equal(draw_regions(drawn, *tile)[~cut], codes[~cut])
        uncut += (~cut & (codes > 0)).sum()
    assert uncut > 20_000


def test_holes_are_not_drawn():
    ring = shapely.box(0, 0, 100, 100).difference(shapely.box(30, 30, 70, 70))
    codes = draw_regions(regions(ring), 0, 0, 100, 100, 100)
    assert (codes[30:70, 30:70] == 0).all()
    assert (codes == 1).sum() == 100 * 100 - 40 * 40
    assert not draw_regions(regions(ring), 40, 40, 20, 20, 20).any()


@pytest.mark.parametrize("nest", [0, 1])
def test_a_small_region_is_drawn_over_a_large_one(nest):
    """The order of the classes does not matter: in QuPath a nest is drawn into the region around it."""
    shapes = [shapely.box(0, 0, 100, 100), shapely.box(0, 0, 100, 100)]
    shapes[nest] = shapely.box(40, 40, 60, 60)
    codes = draw_regions(regions(*shapes), 20, 20, 40, 40, 40)
    assert (codes[20:, 20:] == nest + 1).all()
    assert (codes == nest + 1).sum() == 20 * 20
    assert set(np.unique(codes)) == {1, 2}


def test_classes_that_overlap_at_the_edge_count_once():
    """Both classes cover the same 0.3 of a pixel, which is less than half of it."""
    strip = shapely.box(0, 0, 4.3, 8)
    assert draw_regions(regions(strip, strip), 0, 0, 8, 8, 8)[0].tolist() == [1] * 4 + [0] * 4
    beside = shapely.box(4.3, 0, 4.6, 8)  # together 0.6, of which half each
    assert draw_regions(regions(strip, beside), 0, 0, 8, 8, 8)[0, 4] == 2


def test_tiles_inside_a_region_are_filled_and_tiles_beside_it_empty():
    drawn = regions(NOTHING, shapely.box(100, 100, 300, 300))
    assert (draw_regions(drawn, 150, 150, 50, 50, 25) == 2).all()
    assert not draw_regions(drawn, 0, 0, 100, 100, 50).any()  # they touch
    assert not draw_regions(drawn, 500, 0, 100, 100, 50).any()
    assert not draw_regions(regions(NOTHING, NOTHING), 0, 0, 10, 10, 10).any()


def test_an_outline_through_corners_of_a_tile_fills_it():
    """`shapely.clip_by_rect` loses two thirds of the area inside this tile."""
    shape = shapely.Polygon([(2, 0), (1, 6), (6, 2), (2, 4), (6, 0)])
    assert draw_regions(regions(shape), 2, 3, 1, 1, 1).tolist() == [[1]]
    assert draw_regions(regions(shape), 2, 3, 1, 1, 2).tolist() == [[1, 1], [1, 1]]
