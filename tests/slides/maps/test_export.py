"""Files made from a map: regions for QuPath, areas, an overlay."""

import json
import uuid
from dataclasses import replace

import numpy as np
import pytest
import shapely

from qaclims_path.errors import QaclimsError
from qaclims_path.files.geojson import classifications, read_geojson
from qaclims_path.slides.maps.areas import areas
from qaclims_path.slides.maps.export import Shape, write_geojson, write_regions
from qaclims_path.slides.maps.label_tiff import TILE, Label, write_map
from qaclims_path.slides.maps.overlay import INK, NOTICE_COLOR, Captions, draw_confidence, draw_overlay, scale_bar
from qaclims_path.slides.maps.write import SlideMap

LABELS = [Label(0, "Tumor", (200, 0, 0)), Label(1, "Stroma", (0, 200, 0)), Label(2, "Necrosis", (90, 0, 200))]


def rows_of(codes):
    """Rows of a level of a map in memory."""

    def rows(level):
        small = codes[:: 2**level, :: 2**level]
        return [small[top : top + TILE] for top in range(0, len(small), TILE)]

    return rows


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Codes and map (1200 x 800 pixels of 2 um, slide of 0.5 um) of a disc of tumour with a hole, in stroma."""
    y, x = np.mgrid[:800, :1200]
    radius = np.hypot(x - 600, y - 400)
    codes = np.where(radius < 300, 0, np.where(radius < 390, 1, 255)).astype(np.uint8)
    codes[350:400, 500:640] = 1
    path = tmp_path_factory.mktemp("map") / "one_classes.ome.tiff"

    write_map(path, (1200, 800), 2.0, rows_of(codes), labels=LABELS)
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


def test_the_overlay_outlines_classes_and_has_captions_scale_and_legend(made):
    thumbnail = np.full((200, 300, 3), 240, np.uint8)
    drawn = draw_overlay(thumbnail, made[1], LABELS, Captions("one", "a model", "Demonstration model"))
    first, last = drawn.rows
    assert drawn.pixels.shape[1] == 300
    assert last - first == 200
    picture = drawn.pixels[first:last]
    assert picture[5, 5].tolist() == [240, 240, 240]  # outside: as it was
    red, green, blue = (int(v) for v in picture[130, 150])
    assert red > 200 > green == blue > 150  # a tint of tumour over pale glass
    assert (picture == LABELS[0].color).all(2).any()  # its outline
    above, legend = drawn.pixels[:first], drawn.pixels[last:]
    assert (above == NOTICE_COLOR).all(2).any()
    for label in LABELS:
        assert (legend == label.color).all(2).any()
    bar = (legend == INK).all(2).sum(1).max()
    length, _ = scale_bar(0.22 * made[1].width * made[1].mpp)
    assert bar >= round(length / (made[1].width * made[1].mpp / 300))


def test_without_captions_there_is_only_the_legend(made):
    drawn = draw_overlay(np.full((200, 300, 3), 240, np.uint8), made[1], LABELS)
    assert drawn.rows == (0, 200)
    assert len(drawn.pixels) > 200


@pytest.mark.parametrize(
    ("most", "text"), [(1, "1 um"), (49, "20 um"), (740, "500 um"), (1000, "1 mm"), (2600, "2 mm")]
)
def test_scale_bars_have_round_lengths(most, text):
    length, shown = scale_bar(most)
    assert shown == text
    assert 0.4 * most <= length <= most


def test_confidence_covers_only_labelled_pixels(made, tmp_path):
    codes, slide_map = made
    sure = np.full(codes.shape, 255, np.uint8)
    sure[codes == 0] = 128
    path = tmp_path / "sure.ome.tiff"
    size = slide_map.width, slide_map.height
    write_map(path, size, slide_map.mpp, rows_of(sure))
    drawn, mean = draw_confidence(np.full((200, 300, 3), 240, np.uint8), replace(slide_map, confidence=path), LABELS)
    assert 0.5 < mean < 1
    picture = drawn.pixels[: drawn.rows[1]]
    assert picture[5, 5].tolist() == [240, 240, 240]
    red, green, _ = (int(v) for v in picture[130, 150])
    assert green < red < 240
