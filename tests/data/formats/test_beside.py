"""Masks beside images."""

import pytest

from qaclims_path.data.formats.beside import list_split
from qaclims_path.data.listing import list_records
from qaclims_path.errors import BadConfig, DatasetProblem

SPLIT = {"images": ["."], "supervision": "masks", "labels_from": "masks", "mask_name": "{stem}_anno.bmp"}


def test_masks_are_not_images(tmp_path, make_card, put):
    put(tmp_path, "train_1.bmp", "train_1_anno.bmp", "train_2.bmp", "train_2_ANNO.BMP", "Grade.csv", "testA_1.bmp")
    card = make_card("beside", {**SPLIT, "match": "^train_"})
    records = list_records(card, tmp_path, "one")
    assert [(r.id, str(r.mask)) for r in records] == [
        ("train_1", str(tmp_path / "train_1_anno.bmp")),
        ("train_2", str(tmp_path / "train_2_ANNO.BMP")),
    ]


def test_masks_may_differ_from_their_images_in_the_suffix_only(tmp_path, make_card, put):
    put(tmp_path, "a.jpg", "a.png", "b.jpg", "b.png")
    records = list_records(make_card("beside", {**SPLIT, "mask_name": "{stem}.png"}), tmp_path, "one")
    assert [r.image.name for r in records] == ["a.jpg", "b.jpg"]


def test_images_without_a_mask_are_refused(tmp_path, make_card, put):
    put(tmp_path, "a.bmp", "b.bmp", "c_anno.bmp")
    with pytest.raises(DatasetProblem, match=r"2 images without a mask beside them.*'a.bmp', 'b.bmp'"):
        list_records(make_card("beside", SPLIT), tmp_path, "one")


def test_masks_may_lie_in_a_sibling_folder(tmp_path, make_card, put):
    put(tmp_path / "images", "a.png")
    put(tmp_path / "masks", "a.png")
    split = {**SPLIT, "images": ["images"], "masks": ["masks"], "mask_name": "{stem}.png"}
    assert str(list_records(make_card("beside", split), tmp_path, "one")[0].mask) == str(tmp_path / "masks" / "a.png")


def test_labels_never_get_a_mask(tmp_path, make_card, put):
    put(tmp_path, "a.bmp", "a_anno.bmp")
    split = {**SPLIT, "supervision": "labels", "labels_from": "table"}
    card = make_card("beside", split)
    assert [r.mask for r in list_split(card, tmp_path, "one")] == [None]
    with pytest.raises(BadConfig, match="from 'table', which the format 'beside' does not read"):
        list_records(card, tmp_path, "one")
