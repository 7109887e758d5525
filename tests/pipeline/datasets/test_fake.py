import json

import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.errors import UsageError
from qaclims_path.pipeline.datasets.check import check
from qaclims_path.pipeline.datasets.fake import make_fake
from qaclims_path.pipeline.datasets.options import FakeOptions


def content(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_phantom_is_tissue_in_the_published_layout(tmp_path):
    card = load_card("phantom")
    report = make_fake(card, tmp_path / "data", FakeOptions(images=9, seed=2))
    assert report.splits == {"train": 9, "val": 9, "test": 9}
    assert check(card, tmp_path / "data").passed
    patients = [{r.patient for r in list_records(card, tmp_path / "data", split)} for split in card.splits]
    assert all(len(found) == 2 and None not in found for found in patients)
    assert len(set.union(*patients)) == 6
    labels = [record.present for record in list_records(card, tmp_path / "data", "train")]
    assert {index for present in labels for index in present} == {0, 1, 2, 3}


def test_the_same_seed_paints_the_same_bytes(tmp_path):
    card = load_card("phantom")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_fake(card, tmp_path / name, FakeOptions(images=2, seed=seed))
    assert content(tmp_path / "a") == content(tmp_path / "b") != content(tmp_path / "c")


def test_slides_come_with_truth_and_regions(tmp_path):
    report = make_fake(load_card("phantom"), tmp_path / "data", FakeOptions(images=1, slides=2, slide_size=512))
    assert report.slides == 2
    names = sorted(path.name for path in (tmp_path / "data" / "slides").iterdir())
    assert names == [f"PH900{i}{end}" for i in (1, 2) for end in (".geojson", ".tiff", "_truth.tiff")]
    assert json.loads((tmp_path / "data" / "slides" / names[0]).read_text())["type"] == "FeatureCollection"
    assert check(load_card("phantom"), tmp_path / "data").passed


def test_other_cards_get_coloured_blobs(tmp_path):
    (tmp_path / "data").mkdir()
    card = load_card("luad-histoseg")
    assert make_fake(card, tmp_path / "data", FakeOptions(images=3)).splits == {"train": 3, "val": 3, "test": 3}
    assert check(card, tmp_path / "data").passed


def test_wrong_use_is_refused_and_writes_nothing(tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        make_fake(load_card("phantom"), tmp_path)
    with pytest.raises(UsageError, match="not empty"):
        make_fake(load_card("phantom"), tmp_path / "own.txt")
    with pytest.raises(UsageError, match="slides for 'phantom' only"):
        make_fake(load_card("glas"), tmp_path / "new", FakeOptions(slides=1))
    with pytest.raises(UsageError, match="phantom slide"):
        make_fake(load_card("phantom"), tmp_path / "new", FakeOptions(images=1, slides=1, slide_size=10**6))
    assert [path.name for path in tmp_path.iterdir()] == ["own.txt"]
