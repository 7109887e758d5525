"""Label bits in file names."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaclims_path.data.formats.filename_labels import bits_in
from qaclims_path.data.listing import list_records
from qaclims_path.errors import BadFile, DatasetProblem

NAMED = {"images": ["training", "train", "train/img"], "labels_from": "name"}


@given(bits=st.lists(st.sampled_from([0, 1]), min_size=1, max_size=8), joiner=st.sampled_from(["", " ", ", ", ","]))
def test_every_published_spelling_is_read(bits, joiner):
    text = joiner.join(map(str, bits))
    assert bits_in(f"TCGA_MPP-0.2500+0[{text}].png") == tuple(bits)
    assert bits_in(f"[x]-[{text}].png") is None  # the published parse takes what stands before the first ]


@pytest.mark.parametrize("name", ["a.png", "a[].png", "a[12].png", "a[1,x].png", "a]1[.png", "a[1", "a[,].png"])
def test_names_without_bits_have_no_labels(name):
    assert bits_in(name) is None


def test_labels_and_patients_are_read_from_sorted_names(tmp_path, make_card, put):
    card = make_card("filename_labels", NAMED, patient=r"^(p\d)")
    put(tmp_path / "train", "p2[0, 0, 0].png", "p1[1 0 1].PNG", "p1[110].png", "._p1[111].png", "notes.txt")
    records = list_records(card, tmp_path, "one")
    assert [(r.id, r.present, r.patient, r.mask) for r in records] == [
        ("p1[1 0 1]", (0, 2), "p1", None),
        ("p1[110]", (0, 1), "p1", None),
        ("p2[0, 0, 0]", (), "p2", None),
    ]


def test_labels_follow_the_order_of_the_publisher(tmp_path, make_card, put):
    card = make_card("filename_labels", NAMED, label_order=("c", "other", "a", "b"))
    put(tmp_path / "train", "x[1100].png", "y[0011].png")
    assert [record.present for record in list_records(card, tmp_path, "one")] == [(2,), (0, 1)]


def test_images_in_a_folder_below_are_found(tmp_path, make_card, put):
    put(tmp_path / "train" / "img", "x[100].png")
    card = make_card("filename_labels", NAMED)
    assert list_records(card, tmp_path, "one")[0].image.path == tmp_path / "train" / "img" / "x[100].png"


def test_bad_names_are_reported_together(tmp_path, make_card, put):
    put(tmp_path / "train", "good[101].png", *(f"bad{i:02d}[1].png" for i in range(12)))
    with pytest.raises(DatasetProblem, match=r"12 images without 3 label bits .*'bad09\[1\].png' and 2 more.*a, b, c"):
        list_records(make_card("filename_labels", NAMED), tmp_path, "one")


def test_a_missing_folder_says_what_was_looked_for(tmp_path, make_card, put):
    put(tmp_path / "trian", "x[101].png")
    (tmp_path / "train").symlink_to(tmp_path / "train")
    with pytest.raises(DatasetProblem, match=r"'training' or 'train'.*There is: train \(a link.*nowhere\), trian\."):
        list_records(make_card("filename_labels", NAMED), tmp_path, "one")


def test_an_empty_folder_is_refused(tmp_path, make_card):
    (tmp_path / "train").mkdir()
    with pytest.raises(DatasetProblem, match=r"train holds no images of 'one'"):
        list_records(make_card("filename_labels", NAMED), tmp_path, "one")


def test_images_and_masks_match_by_name(tmp_path, make_card, put):
    masks = {"images": ["val/img"], "masks": ["val/mask"], "supervision": "masks", "labels_from": "masks"}
    put(tmp_path / "val" / "img", *(f"{i}.png" for i in range(12)))
    put(tmp_path / "val" / "mask", "3.PNG", "4.png")
    card = make_card("filename_labels", masks)
    with pytest.raises(DatasetProblem, match=r"10 images without a mask in .*mask: '0.png'"):
        list_records(card, tmp_path, "one")
    put(tmp_path / "val" / "mask", *(f"{i}.png" for i in range(12) if i != 3))
    records = list_records(card, tmp_path, "one")
    assert str(records[4].mask) == str(records[4].image.path.parents[1] / "mask" / "2.png")
    assert records[0].present is None


def test_background_masks_mark_background(tmp_path, make_card, draw):
    split = {"images": ["img"], "masks": ["mask"], "background_masks": ["bg"], "supervision": "masks"}
    draw(tmp_path / "img" / "x.png")
    draw(tmp_path / "mask" / "x.png", 1)
    draw(tmp_path / "bg" / "x.png", 1)
    [record] = list_records(make_card("filename_labels", {**split, "labels_from": "masks"}), tmp_path, "one")
    assert (record.mask.codes() == np.full((4, 6), 9)).all()


@pytest.mark.parametrize("what", ["missing", "file"])
def test_the_root_must_be_a_folder(tmp_path, make_card, what):
    (tmp_path / "file").touch()
    with pytest.raises(BadFile, match=r"does not exist|is a file"):
        list_records(make_card("filename_labels", NAMED), tmp_path / what, "one")


def test_names_that_differ_in_suffix_only_are_refused(tmp_path, make_card, put):
    put(tmp_path / "train", "x[100].png", "x[100].jpg", "y[100].jpg")
    with pytest.raises(DatasetProblem, match=r"2 images with the same name: 'x\[100\].jpg', 'x\[100\].png'"):
        list_records(make_card("filename_labels", NAMED), tmp_path, "one")


def test_names_match_in_either_unicode_spelling(tmp_path, make_card, put):
    masks = {"images": ["img"], "masks": ["mask"], "supervision": "masks", "labels_from": "masks"}
    put(tmp_path / "img", unicodedata.normalize("NFC", "gewebe_ä ö.png"))
    put(tmp_path / "mask", unicodedata.normalize("NFD", "gewebe_ä ö.png"))
    assert len(list_records(make_card("filename_labels", masks), tmp_path, "one")) == 1
