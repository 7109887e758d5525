"""Grids: their geometry against a slow loop, impossible options, and the shares of a mask."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from qaclims_path.errors import ResolutionUnknown, UsageError
from qaclims_path.slides.annotations.regions import SlideRegions
from qaclims_path.slides.grid import make_grid
from qaclims_path.slides.tissue import TissueMask
from qaclims_path.types import Level, SlideInfo


def info_of(width, height, mpp=(0.5, 0.5), bounds=None):
    box = bounds or (0, 0, width, height)
    return SlideInfo("a.svs", width, height, (Level(width, height, 1.0),), mpp, None, (255,) * 3, box, (), "tiff", "t")


sides = st.integers(1, 700)


def grid_in_bounds(width, height, size, stride, mpp, pad):
    """A grid in bounds that begin at 17, 11, after the checks that hold with and without padding; and its columns."""
    info = info_of(width + 40, height + 30, (0.5, 0.55), (17, 11, width, height))
    grid = make_grid(info, size=size, mpp=max(mpp, 0.55), stride=stride, pad=pad)
    step_x = stride * grid.mpp / 0.5
    assert grid.width0 == max(1, round(size * grid.mpp / 0.5))
    assert grid.height0 == max(1, round(size * grid.mpp / 0.55))
    assert (grid.x >= 17).all()
    assert (grid.y >= 11).all()
    assert (np.lexsort((grid.x, grid.y)) == np.arange(len(grid))).all()
    xs = np.unique(grid.x)
    wanted = [17 + int(i * step_x + 1e-6) for i in range(len(xs))]
    assert xs.tolist() == wanted
    return grid, xs, step_x


numbers = (sides, sides, st.integers(1, 90), st.floats(1, 150), st.sampled_from([0.5, 0.6, 1.0, 2.37]))


@settings(max_examples=50)
@given(*numbers)
def test_tiles_lie_in_the_bounds_and_leave_no_room(width, height, size, stride, mpp):
    grid, xs, step_x = grid_in_bounds(width, height, size, stride, mpp, pad=False)
    assert (grid.x + grid.width0 <= 17 + width).all()
    assert (grid.y + grid.height0 <= 11 + height).all()
    assert not len(xs) or xs[-1] + step_x + grid.width0 > 17 + width - 1


@settings(max_examples=50)
@given(*numbers)
def test_padded_tiles_reach_the_end_of_the_bounds(width, height, size, stride, mpp):
    grid, xs, step_x = grid_in_bounds(width, height, size, stride, mpp, pad=True)
    assert xs[-1] + grid.width0 >= 17 + width - 1
    assert xs[-1] < 17 + width or len(xs) == 1 or step_x > grid.width0


def test_padding_covers_every_pixel():
    grid = make_grid(info_of(501, 333), size=100, mpp=0.5, stride=75, pad=True)
    covered = np.zeros((600, 700), bool)
    for x, y in zip(grid.x, grid.y, strict=True):
        covered[y : y + 100, x : x + 100] = True
    assert covered[:333, :501].all()


def test_magnification_is_ten_over_mpp_and_overlap_a_stride():
    info = info_of(1000, 1000, (0.25, 0.25))
    one = make_grid(info, size=50, magnification=20, overlap=0.2)
    two = make_grid(info, size=50, mpp=0.5, stride=40)
    assert (one.x == two.x).all()
    assert one.mpp == 0.5
    assert one.width0 == 100


def test_a_pixel_size_a_little_finer_than_the_slide_is_accepted():
    assert make_grid(info_of(500, 500, (0.504, 0.504)), size=100, mpp=0.5).width0 == 99


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "either --mpp"),
        ({"mpp": 0.5, "magnification": 20}, "either --mpp"),
        ({"mpp": 0}, "greater than 0"),
        ({"mpp": float("nan")}, "greater than 0"),
        ({"magnification": -10}, "greater than 0"),
        ({"mpp": 0.25}, "invent detail. Ask for --mpp 0.5 .--magnification 20"),
        ({"mpp": 0.5, "stride": 10, "overlap": 0.5}, "either --stride"),
        ({"mpp": 0.5, "stride": 0}, "at least 1"),
        ({"mpp": 0.5, "overlap": 1}, "below 1"),
        ({"mpp": 0.5, "min_tissue": 1.5}, "from 0 to 1"),
        ({"mpp": 0.5, "size": 0}, "at least 1"),
        ({"mpp": 0.5, "size": 1, "stride": 1}, "5000 x 5000 tiles"),
    ],
)
def test_impossible_options_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        make_grid(info_of(5000, 5000), **{"size": 100, **options})


def test_an_unknown_pixel_size_names_both_ways_out():
    with pytest.raises(ResolutionUnknown, match=r"--slide-mpp.*'mpp'"):
        make_grid(info_of(500, 500, None), size=100, mpp=0.5)


@settings(max_examples=50)
@given(st.integers(0, 1000), st.floats(0.4, 9), st.floats(0.4, 9), st.integers(3, 60))
def test_shares_equal_areas_of_mask_pixels(seed, scale_x, scale_y, size):
    rng = np.random.default_rng(seed)
    mask = TissueMask(rng.random((20, 30)) < 0.4, (scale_x, scale_y))
    info = info_of(max(1, int(30 * scale_x)), max(1, int(20 * scale_y)))
    grid = make_grid(info, size=size, mpp=0.5, stride=size * 0.7 + 1, mask=mask, min_tissue=0)
    rows, columns = np.nonzero(mask.mask)
    pixels = shapely.box(columns * scale_x, rows * scale_y, (columns + 1) * scale_x, (rows + 1) * scale_y)
    for x, y, share in zip(grid.x, grid.y, grid.tissue, strict=True):
        tile = shapely.box(x, y, x + size, y + size)
        assert share == pytest.approx(shapely.area(shapely.intersection(pixels, tile)).sum() / size**2, abs=1e-5)


def test_tiles_with_little_tissue_are_left_out():
    mask = TissueMask(np.array([[True, False], [True, True]]), (100.0, 100.0))
    grid = make_grid(info_of(200, 200), size=50, mpp=1.0, mask=mask, min_tissue=0.5)
    assert list(zip(grid.x, grid.y, strict=True)) == [(0, 0), (0, 100), (100, 100)]
    assert (grid.tissue == 1).all()
    assert len(make_grid(info_of(200, 200), size=100, mpp=1.0, mask=mask, min_tissue=0.75)) == 1
    assert len(make_grid(info_of(200, 200), size=100, mpp=1.0, mask=mask, min_tissue=0.76)) == 0


def test_the_part_of_a_padded_tile_inside_the_slide_counts():
    mask = TissueMask(np.ones((1, 1), bool), (130.0, 130.0))
    grid = make_grid(info_of(130, 130), size=100, mpp=0.5, mask=mask, min_tissue=1, pad=True)
    assert len(grid) == 4


def test_half_a_tile_must_lie_in_the_region_of_interest():
    roi = SlideRegions(("roi",), (shapely.box(50, 0, 301, 100).union(shapely.box(0, 200, 100, 300)),))
    grid = make_grid(info_of(400, 300), size=100, mpp=0.5, roi=roi)
    assert list(zip(grid.x, grid.y, strict=True)) == [(0, 0), (100, 0), (200, 0), (0, 200)]


def test_a_slide_smaller_than_a_tile_has_none_or_one():
    assert len(make_grid(info_of(50, 50), size=100, mpp=0.5)) == 0
    assert len(make_grid(info_of(50, 50), size=100, mpp=0.5, pad=True)) == 1
