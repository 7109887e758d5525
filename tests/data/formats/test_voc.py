"""PASCAL VOC: lists, label tables, annotations."""

import numpy as np
import pytest

from qaclims_path.data.listing import list_records
from qaclims_path.errors import BadFile, DatasetProblem

LIST = "ImageSets/Segmentation/one.txt"
SPLIT = {
    "images": ["JPEGImages"],
    "list": [LIST],
    "labels_from": "table",
    "labels": ["cls_labels.npy"],
    "masks": ["SegmentationClassAug", "SegmentationClass"],
}
FIRST, SECOND = "2007_000032", "2008_000002"
NUMBER = np.int32(2007000032)  # the published table has numbers for names


@pytest.fixture
def root(tmp_path, put):
    put(tmp_path / "JPEGImages", f"{FIRST}.jpg", f"{SECOND}.jpg", "2009_000001.jpg")
    write_list(tmp_path, f"{SECOND}\n{FIRST}\n")
    save(tmp_path, {NUMBER: np.array([0, 1, 1, 0], np.float32), SECOND: np.zeros(4, np.float32)})
    return tmp_path


def write_list(root, text):
    path = root / LIST
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def save(root, table):
    np.save(root / "cls_labels.npy", np.array(table, dtype=object), allow_pickle=True)


@pytest.fixture
def card(make_card):
    return make_card("voc", SPLIT, label_order=("other", "b", "a", "c"))


@pytest.mark.parametrize(
    "text",
    [
        f"{SECOND}\n{FIRST}\n",
        f"\ufeff{SECOND}\r\n\r\n{FIRST}",
        f"/JPEGImages/{SECOND}.jpg /SegmentationClassAug/{SECOND}.png\n/JPEGImages/{FIRST}.jpg /S/{FIRST}.png",
        f"{SECOND}\n2011_000999\n{FIRST}\n",
    ],
)
def test_lists_and_label_tables_are_read(root, card, text):
    write_list(root, text)
    records = list_records(card, root, "one")
    assert [(r.id, r.present, r.mask) for r in records] == [(SECOND, (), None), (FIRST, (0, 1), None)]


def test_a_list_that_leads_out_of_the_folder_is_refused(root, card):
    write_list(root, "/../../etc/passwd /x.png\n")
    with pytest.raises(BadFile, match="leads out of"):
        list_records(card, root, "one")


@pytest.mark.parametrize(
    ("table", "error", "sentence"),
    [
        ({NUMBER: np.zeros(4, np.float32)}, DatasetProblem, f"1 image without labels in .*'{SECOND}.jpg'"),
        ({NUMBER: np.zeros(20, np.float32)}, BadFile, r"shape \(20,\) for '2007000032', but .* label order has 4"),
        ([1, 2], BadFile, "one label vector per image name"),
    ],
    ids=["missing", "of another length", "a list"],
)
def test_tables_that_do_not_fit_are_refused(root, card, table, error, sentence):
    save(root, table)
    with pytest.raises(error, match=sentence):
        list_records(card, root, "one")


def test_annotations_are_read_in_place_of_the_table(root, card):
    (root / "cls_labels.npy").unlink()
    with pytest.raises(DatasetProblem, match=r"'cls_labels.npy' or 'Annotations'"):
        list_records(card, root, "one")
    (root / "Annotations").mkdir()
    objects = "<object><name>b</name><difficult>1</difficult><part><name>a</name></part></object>"
    for name, text in ((FIRST, objects), (SECOND, "<object><name>unheard-of</name></object>")):
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{text}</annotation>")
    assert [r.present for r in list_records(card, root, "one")] == [(), (1,)]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b'<!DOCTYPE x [<!ENTITY e "boom">]><annotation>&e;</annotation>', "declares XML entities"),
        ('<?xml version="1.0"?><!DOCTYPE x><annotation/>'.encode("utf-16"), "not a readable VOC annotation"),
        (b"<annotation>", "not a readable VOC annotation"),
        (b"<annotation>" + b" " * 1_000_001 + b"</annotation>", "larger than 1 MB"),
    ],
)
def test_bad_annotations_are_refused(root, card, content, match):
    (root / "cls_labels.npy").unlink()
    (root / "Annotations").mkdir()
    (root / "Annotations" / f"{SECOND}.xml").write_bytes(content)
    with pytest.raises(BadFile, match=match):
        list_records(card, root, "one")


def test_masks_are_taken_from_the_folder_that_has_them_all(root, make_card, put):
    card = make_card("voc", {**SPLIT, "supervision": "masks", "labels_from": "masks"})
    put(root / "SegmentationClass", f"{FIRST}.png")
    with pytest.raises(DatasetProblem, match=f"1 image without a mask in .*SegmentationClass: '{SECOND}.jpg'"):
        list_records(card, root, "one")
    put(root / "SegmentationClassAug", f"{FIRST}.png", f"{SECOND}.png")
    records = list_records(card, root, "one")
    assert str(records[0].mask) == str(root / "SegmentationClassAug" / f"{SECOND}.png")
    assert records[0].present is None
