"""Files made from a map: regions for QuPath, areas, an overlay."""

import json
import uuid

import numpy as np
import pytest
import shapely

from qaclims_path.errors import QaclimsError
from qaclims_path.files.geojson import classifications, read_geojson
from qaclims_path.slides.maps.areas import areas
from qaclims_path.slides.maps.export import Shape, write_geojson, write_regions
from qaclims_path.slides.maps.label_tiff import TILE, Label, write_map
from qaclims_path.slides.maps.overlay import draw_overlay
from qaclims_path.slides.maps.write import SlideMap

LABELS = [Label(0, "Tumor", (200, 0, 0)), Label(1, "Stroma", (0, 200, 0)), Label(2, "Necrosis", (90, 0, 200))]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Codes and map (1200 x 800 pixels of 2 um, slide of 0.5 um) of a disc of tumour with a hole, in stroma."""
    y, x = np.mgrid[:800, :1200]
    radius = np.hypot(x - 600, y - 400)
    codes = np.where(radius < 300, 0, np.where(radius < 390, 1, 255)).astype(np.uint8)
    codes[350:400, 500:640] = 1
    path = tmp_path_factory.mktemp("map") / "one_classes.ome.tiff"

    def rows(level):
        small = codes[:: 2**level, :: 2**level]
        return [small[top : top + TILE] for top in range(0, len(small), TILE)]

    write_map(path, (1200, 800), 2.0, rows, labels=LABELS)
    return codes, SlideMap(path, None, 1200, 800, 2.0, (4.0, 4.0), np.bincount(codes.ravel(), minlength=256))


def test_regions_are_what_qupath_reads(made, tmp_path):
    codes, result = made
    assert write_regions(tmp_path / "one.geojson", result, LABELS, tolerance_um=3.0) == 3
    content = json.loads((tmp_path / "one.geojson").read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection"
    names = [feature["properties"]["classification"]["name"] for feature in content["features"]]
    assert names == ["Tumor", "Stroma", "Stroma"]
    for feature in content["features"]:
        assert feature["type"] == "Feature"
        assert str(uuid.UUID(feature["id"])) == feature["id"]
        assert set(feature["properties"]) == {"objectType", "isLocked", "classification", "measurements"}
        assert feature["properties"]["objectType"] == "annotation"
        assert feature["properties"]["isLocked"] is False
        polygon = shapely.geometry.shape(feature["geometry"])
        assert polygon.is_valid
        assert feature["properties"]["measurements"]["Area um^2"] == pytest.approx(polygon.area / 4, rel=0.02)
        for ring in feature["geometry"]["coordinates"]:
            assert ring[0] == ring[-1]
    tumor = shapely.geometry.shape(content["features"][0]["geometry"])
    assert len(tumor.interiors) == 1
    assert tumor.bounds == pytest.approx((1200, 400, 3600, 2800), abs=10)
    assert content["features"][0]["properties"]["measurements"] == {"Area um^2": (codes == 0).sum() * 4}
    assert len({feature["id"] for feature in content["features"]}) == 3


def test_regions_are_read_back_with_names_and_colours(made, tmp_path):
    write_regions(tmp_path / "one.geojson", made[1], LABELS)
    found = read_geojson(tmp_path / "one.geojson")
    assert classifications(found) == {"Tumor": (200, 0, 0), "Stroma": (0, 200, 0)}


def test_the_same_map_gives_the_same_file(made, tmp_path):
    for name in ("a", "b"):
        write_regions(tmp_path / f"{name}.geojson", made[1], LABELS)
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_a_huge_map_is_outlined_from_a_coarser_level(made, tmp_path):
    codes, result = made
    write_regions(tmp_path / "one.geojson", result, LABELS, max_pixels=codes.size // 4)
    [tumor, *_] = json.loads((tmp_path / "one.geojson").read_text(encoding="utf-8"))["features"]
    assert tumor["properties"]["measurements"]["Area um^2"] == pytest.approx((codes == 0).sum() * 4, rel=0.01)
    assert shapely.geometry.shape(tumor["geometry"]).bounds == pytest.approx((1200, 400, 3600, 2800), abs=16)


def test_shapes_are_written_with_their_kind_lock_and_measurements(tmp_path):
    square = shapely.box(0, 0, 10.006, 10, ccw=False)
    shapes = [Shape(square, None), Shape(square, "A", (1, 2, 3), {"Tissue %": 50.0}), Shape(square, "A", (1, 2, 3))]
    assert write_geojson(tmp_path / "a.geojson", iter(shapes), kind="detection", locked=True, seed="x") == 3
    first, second, _ = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))["features"]
    assert first["properties"] == {"objectType": "detection", "isLocked": True}
    assert second["properties"]["measurements"] == {"Tissue %": 50.0}
    assert shapely.geometry.shape(first["geometry"]).exterior.is_ccw
    assert [10.01, 0] in first["geometry"]["coordinates"][0]


def test_no_shape_is_an_empty_collection(tmp_path):
    assert write_geojson(tmp_path / "none.geojson", []) == 0
    assert json.loads((tmp_path / "none.geojson").read_text())["features"] == []


def test_numbers_that_json_does_not_have_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_geojson(tmp_path / "a.geojson", [Shape(shapely.box(0, 0, 1, 1), measurements={"x": float("nan")})])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QaclimsError, match="cannot be written"):
        write_geojson(tmp_path / "file" / "a.geojson", [])


def test_areas_are_counted_pixels(made):
    codes, result = made
    rows = areas("one", result, LABELS)
    assert [row.class_name for row in rows] == ["Tumor", "Stroma", "Necrosis"]
    assert rows[0].area_mm2 == pytest.approx((codes == 0).sum() * 4e-6)
    assert rows[2].pixels == rows[2].share == 0
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert rows[0].slide == "one"


def test_a_slide_without_any_class_has_no_shares(made):
    result = SlideMap(made[1].classes, None, 9, 9, 1.0, (1.0, 1.0), np.zeros(256, np.int64))
    assert all(np.isnan(row.share) for row in areas("one", result, LABELS))


def test_the_overlay_is_half_transparent_and_has_a_legend(made):
    thumbnail = np.full((200, 300, 3), 240, np.uint8)
    picture = draw_overlay(thumbnail, made[1], LABELS)
    assert picture.shape[1] == 300
    assert picture.shape[0] > 200
    assert picture[5, 5].tolist() == [240, 240, 240]  # outside: as it was
    red, green, blue = (int(v) for v in picture[130, 150])
    assert red > 200 > green == blue > 100  # tumour over pale glass
    legend = picture[200:].reshape(-1, 3)
    for label in LABELS:
        assert (legend == label.color).all(1).any()
