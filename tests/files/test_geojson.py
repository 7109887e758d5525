import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qaclims_path.errors import BadFile
from qaclims_path.files import geojson
from qaclims_path.files.geojson import classifications, read_geojson

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10.5], [0, 0]]]}


def feature(classification=None, geometry=SQUARE):
    properties = {"objectType": "annotation"}
    if classification is not None:
        properties["classification"] = classification
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


def write(path, tree):
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: [f], lambda f: {"type": "FeatureCollection", "features": [f]}])
def test_every_shape_of_file_gives_the_same_annotation(tmp_path, wrap):
    path = write(tmp_path / "ö.geojson", wrap(feature({"name": "Tumor", "color": [200, 0, 0]})))
    (found,) = read_geojson(path)
    assert (found.name, found.color, found.geometry) == ("Tumor", (200, 0, 0), SQUARE)


def test_gzipped_json_is_unpacked(tmp_path):
    path = tmp_path / "slide.geojson.gz"
    path.write_bytes(gzip.compress(json.dumps([feature()]).encode()))
    assert read_geojson(path)[0].name is None


@pytest.mark.parametrize(
    ("classification", "name", "color"),
    [
        ({"name": "Tumor", "colorRGB": -3670016}, "Tumor", (200, 0, 0)),
        ({"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, "Tumor: Positive", (1, 2, 3)),
        ({"name": "Tumor"}, "Tumor", None),
        ({"color": [1, 2, 3, 255]}, None, (1, 2, 3)),
        ("Stroma", "Stroma", None),
        ('{ "name": "Stroma", "color": [9, 8, 7] }', "Stroma", (9, 8, 7)),
        ({}, None, None),
        (None, None, None),
        ("", None, None),
    ],
)
def test_classifications_of_old_and_new_exports(tmp_path, classification, name, color):
    (found,) = read_geojson(write(tmp_path / "a.json", feature(classification)))
    assert (found.name, found.color) == (name, color)


@pytest.mark.parametrize(
    ("kind", "coordinates"),
    [
        ("Point", [1, 2]),
        ("MultiPoint", [[1, 2], [3, 4]]),
        ("LineString", [[1, 2], [3, 4]]),
        ("MultiLineString", [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
        ("Polygon", [[[0, 0], [9, 0], [9, 9], [0, 0]], [[1, 1], [2, 1], [2, 2], [1, 1]]]),
        ("MultiPolygon", [SQUARE["coordinates"], SQUARE["coordinates"]]),
    ],
)
def test_every_geometry_is_kept_as_it_is(tmp_path, kind, coordinates):
    geometry = {"type": kind, "coordinates": coordinates}
    assert read_geojson(write(tmp_path / "a.json", feature(geometry=geometry)))[0].geometry == geometry


def test_shapely_takes_the_geometry(tmp_path):
    from shapely.geometry import shape

    assert shape(read_geojson(write(tmp_path / "a.json", feature()))[0].geometry).area == pytest.approx(52.5)


def test_a_feature_without_geometry_is_left_out(tmp_path):
    assert read_geojson(write(tmp_path / "a.json", [feature(geometry=None), feature()])) == read_geojson(
        write(tmp_path / "b.json", feature())
    )


def test_classes_keep_their_order_and_first_colour(tmp_path):
    path = write(
        tmp_path / "a.json",
        [feature("B"), feature({"name": "A", "color": [1, 1, 1]}), feature({"name": "B", "color": [2, 2, 2]})],
    )
    assert list(classifications(read_geojson(path)).items()) == [("B", (2, 2, 2)), ("A", (1, 1, 1))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("3", "holds other JSON"),
        ('{"type": "Polygon", "coordinates": []}', "holds a GeoJSON Polygon"),
        ('{"type": "FeatureCollection", "features": 3}', "not a FeatureCollection"),
        ("[3]", "feature 1 is not a GeoJSON Feature"),
        (json.dumps([feature(), feature(geometry={"type": "Circle"})]), "feature 2 has the geometry 'Circle'"),
        (json.dumps(feature(geometry={"type": ["Point"]})), "has the geometry"),
        (json.dumps(feature(geometry={"type": "Polygon"})), "no coordinates"),
        (json.dumps(feature(geometry={"type": "Polygon", "coordinates": [[["0", "0"]]]})), "not pairs of numbers"),
        (json.dumps(feature(geometry={"type": "Polygon", "coordinates": [[[0, 0], [1]]]})), "not pairs of numbers"),
        (json.dumps(feature(geometry={"type": "Polygon", "coordinates": [[[[0, 0]]]]})), "not pairs of numbers"),
        (json.dumps(feature(geometry={"type": "Point", "coordinates": [1]})), "not pairs of numbers"),
        (json.dumps(feature(geometry={"type": "Point", "coordinates": [float("nan"), 1]})), "no slide has"),
        (json.dumps(feature(geometry={"type": "Point", "coordinates": [1e300, 1]})), "no slide has"),
        (json.dumps(feature(geometry={"type": "Point", "coordinates": [10**40, 1]})), "not pairs of numbers"),
        (json.dumps(feature([1])), "neither a name nor a group"),
        (json.dumps(feature("{broken")), "classification that is not valid JSON"),
        (json.dumps(feature({"name": 3})), "not text"),
        (json.dumps(feature({"name": "x", "color": [1, 2]})), "colour"),
        (json.dumps(feature({"name": "x", "color": [1, 2, 300]})), "colour"),
        (json.dumps(feature({"name": "x", "color": "red"})), "colour"),
    ],
)
def test_every_error_is_one_sentence_with_the_file(tmp_path, text, said):
    path = tmp_path / "a.geojson"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadFile, match=said) as caught:
        read_geojson(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_damaged_and_huge_files_are_sentences(tmp_path, monkeypatch):
    with pytest.raises(BadFile, match="cannot be read: No such file"):
        read_geojson(tmp_path / "none.geojson")
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[]" * 500)[:-12])
    with pytest.raises(BadFile, match="cannot be read"):
        read_geojson(tmp_path / "a.json.gz")
    (tmp_path / "b.json.gz").write_bytes(b"plain")
    with pytest.raises(BadFile, match="cannot be read"):
        read_geojson(tmp_path / "b.json.gz")
    monkeypatch.setattr(geojson, "MAX_BYTES", 1000)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b" " * 100_000))
    with pytest.raises(BadFile, match="larger than"):
        read_geojson(tmp_path / "bomb.json.gz")


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.sampled_from(["type", "features", "geometry", "coordinates", "properties", "classification", "name", "color"])
TREES = st.recursive(
    LEAVES | st.sampled_from(["Feature", "FeatureCollection", "Polygon", "Point"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tree=TREES
    | TREES.map(lambda part: feature(part))
    | TREES.map(lambda part: feature(geometry={"type": "MultiPolygon", "coordinates": part}))
)
def test_any_json_gives_annotations_or_one_sentence(tmp_path, tree):
    path = tmp_path / "any.json"
    path.write_text(json.dumps(tree), encoding="utf-8")
    try:
        read_geojson(path)
    except BadFile as error:
        assert str(path) in str(error)  # noqa: PT017 - both ways are right
