"""Regions from GeoJSON: shares of tiles against shapely, notes on odd files, and files that are refused."""

import json

import numpy as np
import pytest
import shapely

from qaclims_path.errors import BadFile
from qaclims_path.files.marks import Label
from qaclims_path.slides.annotations.labels import known_in, present_in, read_slide_labels, slides_elsewhere
from qaclims_path.slides.annotations.regions import drawn_shares, read_regions, read_roi, region_shares
from qaclims_path.types import Level, SlideInfo, TileGrid

INFO = SlideInfo(
    "a.svs", 2000, 1000, (Level(2000, 1000, 1.0), Level(500, 250, 4.0)), (0.5, 0.5), None, (255,) * 3,
    (0, 0, 2000, 1000), (), "tiff", "t",
)  # fmt: skip
SQUARE = [[100, 100], [300, 100], [300, 300], [100, 300], [100, 100]]
HOLE = [[150, 150], [250, 150], [250, 250], [150, 250], [150, 150]]
BOW = [[100, 100], [300, 300], [300, 100], [100, 300], [100, 100]]


def feature(name, coordinates, kind="Polygon"):
    properties = {} if name is None else {"classification": {"name": name}}
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


@pytest.fixture
def written(tmp_path):
    def write(*features):
        path = tmp_path / "a.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
        return path

    return write


def grid_of(step=70, size=100):
    y, x = (a.ravel() for a in np.mgrid[0:900:step, 0:1900:step])
    return TileGrid(x, y, size, size + 20, size, 0.5, np.ones(len(x), np.float32))


def test_shares_equal_intersections(written):
    rng = np.random.default_rng(0)
    blobs = [shapely.Point(*rng.uniform(200, 800, 2)).buffer(rng.uniform(20, 150)) for _ in range(8)]
    path = written(
        *(feature("AB"[i % 2], [shapely.get_coordinates(b.exterior).tolist()]) for i, b in enumerate(blobs)),
        feature("B", [[SQUARE, HOLE]], "MultiPolygon"),
    )
    regions = read_regions(path, INFO, ["A", "B", "C"])
    grid = grid_of()
    shares = region_shares(regions, grid)
    tiles = shapely.box(grid.x, grid.y, grid.x + grid.width0, grid.y + grid.height0)
    b = shapely.union_all([*blobs[1::2], shapely.Polygon(SQUARE, [HOLE])])
    for column, shape in enumerate((shapely.union_all(blobs[::2]), b)):
        slow = shapely.area(shapely.intersection(tiles, shape)) / (100 * 120)
        assert np.allclose(shares[:, column], slow, atol=1e-6)
    assert (shares[:, 2] == 0).all()
    assert not regions.notes


def test_only_kept_tiles_are_measured(written):
    grid = grid_of()
    some = np.random.default_rng(1).permutation(len(grid))[:40]
    part = TileGrid(grid.x[some], grid.y[some], 100, 120, 100, 0.5, grid.tissue[some])
    regions = read_regions(written(feature("A", [SQUARE, HOLE])), INFO)
    assert np.allclose(region_shares(regions, part), region_shares(regions, grid)[some])


def test_overlaps_within_a_class_count_once_and_across_classes_twice(written):
    regions = read_regions(written(*(feature(n, [SQUARE]) for n in "AAB")), INFO)
    grid = TileGrid(np.array([100]), np.array([100]), 200, 200, 200, 0.5, np.ones(1, np.float32))
    assert region_shares(regions, grid).tolist() == [[1, 1]]


def test_crossing_outlines_are_repaired_and_noted(written):
    regions = read_regions(written(feature("A", [BOW])), INFO)
    assert shapely.area(regions.shapes[0]) == pytest.approx(20_000)
    assert regions.notes == ("a.geojson: 1 region crosses itself and was repaired.",)


def test_features_that_are_left_out_are_noted(written):
    path = written(
        feature("A", [SQUARE]), feature(None, [SQUARE]), feature("Other", [SQUARE]), feature("A", [5, 5], "Point")
    )
    notes = " ".join(read_regions(path, INFO, ["A"]).notes)
    for part in ("1 points or lines", "1 regions without a class", "Other"):
        assert part in notes


def test_regions_without_a_known_class_are_refused_with_the_nearest(written):
    with pytest.raises(BadFile, match="Did you mean 'Tumor'"):
        read_regions(written(feature("tumour", [SQUARE])), INFO, ["Tumor", "Stroma"])


@pytest.mark.parametrize("shift", [(5000, 0), (0, 900), (-400, 0), (0, -250)])
def test_coordinates_outside_the_slide_are_refused(written, shift):
    moved = (np.array(SQUARE) + shift).tolist()
    with pytest.raises(BadFile, match=r"region 2 lies at x .* a.svs has 2000 x 1000 pixels.*another slide"):
        read_regions(written(feature("A", [SQUARE]), feature("A", [moved])), INFO)


def test_regions_a_little_beyond_the_border_are_accepted(written):
    assert read_regions(written(feature("A", [(np.array(SQUARE) - 105).tolist()])), INFO).classes == ("A",)


@pytest.mark.parametrize(("factor", "what"), [(0.5, "micrometres"), (0.25, "pixels of level 1")])
def test_coordinates_of_another_scale_are_pointed_out(written, factor, what):
    outline = (np.array([[100, 50], [1950, 50], [1950, 980], [100, 980], [100, 50]]) * factor).tolist()
    assert what in read_regions(written(feature("A", [outline])), INFO).notes[0]


def test_a_polygon_of_two_points_is_refused(written):
    with pytest.raises(BadFile, match="region 1 is not a polygon"):
        read_regions(written(feature("A", [[[1, 1], [2, 2]]])), INFO)


def test_regions_of_interest_need_no_class(written):
    roi = read_roi(written(feature(None, [SQUARE]), feature("A", [BOW])), INFO)
    assert shapely.area(roi.shapes[0]) == pytest.approx(40_000)
    with pytest.raises(BadFile, match="encloses no area"):
        read_roi(written(feature(None, [5, 5], "Point")), INFO)


def test_presence_needs_the_share_and_some_area():
    shares = np.array([[0.05, 0.0499, 0.0]], np.float32)
    assert present_in(shares, 0.05).tolist() == [[True, False, False]]
    assert present_in(shares, 0.0).tolist() == [[True, True, False]]


def test_what_follows_from_sparse_annotations_equals_all_that_may_be_undrawn():
    """A class is known where every way to fill the undrawn area gives the same answer."""
    rng = np.random.default_rng(0)
    cut = np.sort(rng.random((300, 2)), axis=1) * (rng.random((300, 1)) < 0.5) + 0.0
    shares = np.stack([cut[:, 0], cut[:, 1] - cut[:, 0]], axis=1).astype(np.float32)
    drawn = shares.sum(axis=1)
    fillings = np.linspace(0, 1, 101, dtype=np.float32)
    for row, share, (a, b) in zip(known_in(shares, drawn, 0.05), drawn, shares, strict=True):
        for is_known, own in zip(row, (a, b), strict=True):
            answers = {bool(own + more * (1 - share) >= np.float32(0.05)) for more in fillings}
            assert is_known == (len(answers) == 1)


def test_a_share_counts_once_where_classes_are_drawn_over_each_other(written):
    regions = read_regions(written(*(feature(n, [SQUARE]) for n in "AB")), INFO)
    grid = TileGrid(np.array([100, 0]), np.array([100, 0]), 200, 200, 200, 0.5, np.ones(2, np.float32))
    assert drawn_shares(regions, grid).tolist() == [1, 0.25]
    assert regions.notes[0].startswith("a.geojson: 0.0100 mm2 are drawn both as A and as B. Tiles there hold both;")


@pytest.mark.parametrize(
    "text", ["slide,labels\na.svs,Tumor;Stroma?\nb,\n", "slide,Tumor,Stroma\na,1,?\nx/b.svs,0,0\n"]
)
def test_slide_labels_are_read_from_names_and_from_columns(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    found = read_slide_labels(path, ["Tumor", "Stroma"], ["a.svs", "b.svs"])
    assert found == {"a.svs": Label((0,), (1,)), "b.svs": Label()}


def test_rows_of_other_slides_are_left_out_and_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("slide,labels\na.svs,Tumor\nc.svs,Tumor\n")
    assert list(read_slide_labels(path, ["Tumor"], ["a.svs", "b.svs"])) == ["a.svs"]
    assert slides_elsewhere(path, ["a.svs", "b.svs"]) == ["c.svs"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("slide,labels\na.svs,Tumor\na,Tumor\n", "twice"),
        ("slide,labels\na.svs,tumor\n", "no class 'tumor'. Did you mean 'Tumor'"),
        ("slide,Tumor\na.svs,1\n", "neither a column 'labels' nor one for Stroma"),
        ("slide,Tumor,Stroma\na.svs,1,maybe\n", "Stroma is 'maybe', which is neither"),
        ("name,labels\n", "no column slide"),
    ],
)
def test_wrong_slide_labels_are_refused(tmp_path, text, sentence):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(BadFile, match=sentence):
        read_slide_labels(path, ["Tumor", "Stroma"], ["a.svs", "b.svs"])
