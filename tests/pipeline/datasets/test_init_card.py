import json

import pytest

from qaclims_path.compute.colours import SAFE, color_of
from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadConfig, UsageError
from qaclims_path.pipeline.datasets.check import check
from qaclims_path.pipeline.datasets.fake import make_fake
from qaclims_path.pipeline.datasets.init_card import init_card
from qaclims_path.pipeline.datasets.options import FakeOptions


def qupath(path, *classes):
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [0, 0]},
            "properties": {"classification": {"name": name, "color": color}},
        }
        for name, color in classes
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def test_a_card_from_names_loads_and_its_fake_data_passes_the_check(tmp_path):
    path = tmp_path / "mine.yaml"
    report = init_card("mine", path, classes=["tumor", " stroma ", "blood vessel", "no", "größe: 1"])
    card = load_card(path)
    assert report.classes == card.names == ("tumor", "stroma", "blood vessel", "no", "größe: 1")
    assert [card.codes[str(code)] for code in range(1, 6)] == list(card.names)
    assert (card.codes["0"], card.codes["255"]) == ("background", "ignore")
    assert [info.color for info in card.classes] == list(SAFE[:5])
    assert not card.public
    make_fake(card, tmp_path / "data", FakeOptions(images=3))
    assert check(card, tmp_path / "data").problems == ()


def test_classes_and_colours_come_from_a_qupath_export(tmp_path):
    export = qupath(
        tmp_path / "a.geojson", ("Tumor", [200, 0, 0]), ("Ignore*", [1, 1, 1]), ("Background", [2, 2, 2]), ("Fat", None)
    )
    report = init_card("mine", tmp_path / "a.yaml", from_qupath=export)
    card = load_card(tmp_path / "a.yaml")
    assert card.names == ("Tumor", "Fat")
    assert [info.color for info in card.classes] == [(200, 0, 0), color_of(1)]
    assert report.left_out == ("Ignore*", "Background")


def test_named_classes_choose_from_the_export(tmp_path):
    export = qupath(tmp_path / "a.geojson", ("A", [1, 2, 3]), ("B", [4, 5, 6]))
    report = init_card("mine", tmp_path / "a.yaml", classes=["B", "C"], from_qupath=export)
    assert [info.color for info in load_card(tmp_path / "a.yaml").classes] == [(4, 5, 6), color_of(1)]
    assert report.left_out == ("A",)


def test_two_hundred_classes_have_two_hundred_colours(tmp_path):
    init_card("many", tmp_path / "many.yaml", classes=[f"class {i}" for i in range(200)])
    assert len({info.color for info in load_card(tmp_path / "many.yaml").classes}) == 200


@pytest.mark.parametrize(
    ("name", "classes", "said"),
    [
        ("mine", ["a", "a"], "listed twice"),
        ("mine", ["background"], "may not be called"),
        ("mine", ["a/b"], "classes"),
        ("a/b", ["a"], "name"),
        ("mine", [f"c{i}" for i in range(255)], "255"),
    ],
)
def test_a_card_that_would_not_load_is_not_written(tmp_path, name, classes, said):
    with pytest.raises(BadConfig, match=said):
        init_card(name, tmp_path / "a.yaml", classes=classes)
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There are no classes"):
        init_card("mine", tmp_path / "a.yaml")
    with pytest.raises(UsageError, match="no classified annotation"):
        init_card("mine", tmp_path / "a.yaml", from_qupath=qupath(tmp_path / "a.geojson"))
    with pytest.raises(UsageError, match=r"should end in \.yaml"):
        init_card("mine", tmp_path / "a.json", classes=["a"])
    init_card("mine", tmp_path / "a.yaml", classes=["a"])
    with pytest.raises(UsageError, match="Choose another --out"):
        init_card("mine", tmp_path / "a.yaml", classes=["a"])


@pytest.mark.parametrize("mark", [";", "\t"])
def test_class_names_joined_by_another_separator_are_refused(mark, tmp_path):
    with pytest.raises(UsageError, match=r"seem to be separated by .*Separate them by commas, as in --classes tumor,s"):
        init_card("mine", tmp_path / "mine.yaml", classes=[f"tumor{mark}stroma"])
    assert not (tmp_path / "mine.yaml").exists()
